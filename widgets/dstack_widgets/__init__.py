"""Textual widgets fed with plain data."""

__all__ = ["drawing", "inputs", "logs", "panels", "screen", "search", "table"]
