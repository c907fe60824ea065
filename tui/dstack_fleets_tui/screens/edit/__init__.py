"""Forms and texts that are edited, their plan, and what becomes of it."""
