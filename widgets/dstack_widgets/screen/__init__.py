"""A screen that paints only what changed, and what is around it."""

__all__ = ["lean_screen", "painting", "scroll_bars", "status_header", "styles", "text_selection"]
