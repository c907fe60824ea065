"""One replica: its log lines and what it uses."""

__all__ = [
    "last_lines",
    "logs",
    "metrics",
    "metrics_watch",
    "saved_logs",
    "service_logs",
    "shell",
    "watch",
]
