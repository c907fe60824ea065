"""One snapshot out of what the server answers."""

__all__ = ["difference", "join", "logins", "runs", "store"]
