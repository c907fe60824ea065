"""One service, view by view."""

__all__ = ["service"]
