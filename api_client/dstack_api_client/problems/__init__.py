"""What is wrong, and since when."""

__all__ = ["model", "replicas", "routers", "watch"]
