"""Actions: every key and command, and what a typed command means."""

__all__ = ["action", "actions", "commands", "key_names", "places", "project_names"]
