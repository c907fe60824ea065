"""Draining replicas: they end their open requests before they stop."""

__all__ = ["draining", "drains", "open_elsewhere", "open_requests"]
