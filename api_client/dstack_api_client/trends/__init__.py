"""What the last 30 minutes were: series of figures in equal steps, from snapshots and the past."""

__all__ = ["reads", "trend", "watch"]
