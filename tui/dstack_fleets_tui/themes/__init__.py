"""The colours of the dashboard: its own themes, those of the user, and which one is shown."""

__all__ = ["files", "showing"]
