"""Routers of services and the workers they know."""

__all__ = ["logging_in", "ssh", "watch"]
