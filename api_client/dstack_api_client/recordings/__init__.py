"""What a feed brought, written to a file without secrets, and played again."""

__all__ = ["reader", "recorder", "replay", "replay_client"]
