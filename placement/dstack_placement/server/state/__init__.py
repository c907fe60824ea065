"""The state of a run, as the engine sees it."""

__all__ = ["other_servers", "state"]
