"""What the last 30 minutes were: series of figures in equal steps, from snapshots and the past."""
