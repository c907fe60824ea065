"""Data sets written straight into the database of a server that has not started yet."""
