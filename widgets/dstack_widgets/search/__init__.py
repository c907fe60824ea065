"""Looking for a text: what is looked for, and where it is."""

__all__ = ["patterns", "searching"]
