"""A table for lists that change all the time, and a small one of lines."""

__all__ = ["cells", "live_table", "table_lines", "table_paint"]
