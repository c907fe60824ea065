"""Edits of services and fleets: what changes, what it would do, and how it is carried out."""

__all__ = [
    "base",
    "errors",
    "fleet",
    "follow",
    "history",
    "offers",
    "outlook",
    "perform",
    "plan",
    "service",
    "store",
]
