"""Where the add-on meets dstack: what it overrides and relies on, and lanes in its models."""

__all__ = ["overrides", "schema"]
