"""A log to read and to follow."""
