"""The placement of runs, as the endpoints show it."""

__all__ = ["claims", "listing", "looking"]
