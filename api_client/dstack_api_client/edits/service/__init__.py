"""The edit of a service: its fields, what is wrong with it, its text, what the engine sees."""

__all__ = ["assignments", "checks", "service", "situation", "texts"]
