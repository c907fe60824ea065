"""The screens: each reads the snapshot and fills its widgets."""

__all__ = [
    "card",
    "charts",
    "edit",
    "events",
    "fleet",
    "fleets",
    "help",
    "lists",
    "logs",
    "messages",
    "parts",
    "problems",
    "replica",
    "runs",
    "service",
    "services",
    "trouble",
    "whatif",
]
