"""The dashboard: one app, what its actions do, and how it starts and ends."""

__all__ = ["run"]
