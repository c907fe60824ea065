"""What is read when: once in full, then what changed."""

__all__ = ["feed", "update"]
