"""The plan of an edit, and sending it."""

__all__ = ["applying", "planning", "surging"]
