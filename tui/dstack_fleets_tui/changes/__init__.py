"""Edits, from the key to what became of them."""

__all__ = ["cordons", "fleet", "service", "shells", "stopping"]
