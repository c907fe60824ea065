"""What the add-on's endpoints take and give, and how much of it at once."""

__all__ = ["answers", "bounds"]
