"""The terminal: what it can do, its colours, and leaving when it goes away."""

__all__ = ["terminal", "terminal_driver"]
