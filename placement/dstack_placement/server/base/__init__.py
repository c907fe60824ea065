"""What all of the add-on needs: its tables, events, faults, memory and threads."""

__all__ = ["faults", "kept", "tables", "telling", "threads"]
