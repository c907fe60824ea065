"""The server's own plan, and what it offers for which price."""

__all__ = ["asking", "prices"]
