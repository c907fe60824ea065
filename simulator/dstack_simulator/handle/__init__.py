"""A running simulator, in the hands of tests and the command line."""

__all__ = ["simulator"]
