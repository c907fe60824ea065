"""A screen that paints only what changed, and what is around it."""
