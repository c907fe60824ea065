"""What keeps the screens up to date."""

__all__ = ["heading", "lookout", "poller", "session", "source"]
