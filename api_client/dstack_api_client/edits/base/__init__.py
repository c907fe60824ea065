"""What an edit begins with, and what differs between two specs."""

__all__ = ["base", "difference", "merging", "outcome"]
