"""What the user sets, and what is kept from one start to the next."""

__all__ = ["kept_commands", "kept_views", "log_file", "own_keys", "projects", "settings"]
