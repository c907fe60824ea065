"""Textual widgets fed with plain data."""
