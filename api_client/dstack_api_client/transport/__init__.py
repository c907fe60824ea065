"""Requests to a dstack server, and its answers."""

__all__ = [
    "client",
    "events",
    "failures",
    "records",
    "requests",
    "runs",
    "server",
    "transport",
    "wire",
    "wire_addon",
    "wire_values",
]
