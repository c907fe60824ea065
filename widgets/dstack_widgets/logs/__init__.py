"""A log to read and to follow."""

__all__ = ["log_lines", "log_rows"]
