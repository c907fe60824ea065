"""Forms and texts that are edited, their plan, and what happens to it."""

__all__ = ["applying", "fleet", "plan", "service", "text"]
