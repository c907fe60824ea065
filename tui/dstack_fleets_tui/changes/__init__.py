"""Edits, from the key to what became of them."""
