"""What screens and changes need of the app that they are in."""

__all__ = ["host", "status_line", "trail"]
