"""The commands that print and leave."""
