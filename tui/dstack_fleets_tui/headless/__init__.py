"""The commands that print and leave."""

__all__ = [
    "apply",
    "columns",
    "cordoning",
    "fleet_edits",
    "following_logs",
    "get",
    "kinds",
    "looking",
    "manner",
    "plan",
    "several",
    "stopping",
    "undo",
    "watching",
    "whatif",
]
