"""What people type into or choose from."""

__all__ = ["choices", "command_line", "edit_grid"]
