"""The add-on's endpoints, and previews of edits."""

__all__ = ["api"]
