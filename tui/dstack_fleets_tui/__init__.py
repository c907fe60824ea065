"""The terminal dashboard and its headless commands."""
