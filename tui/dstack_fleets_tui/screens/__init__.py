"""The screens: each reads the snapshot and fills its widgets."""

__all__ = [
    "card",
    "charts",
    "edit",
    "events",
    "fleet",
    "help",
    "lists",
    "logs",
    "messages",
    "parts",
    "problems",
    "replica",
    "runs",
    "service",
    "trouble",
    "whatif",
]
