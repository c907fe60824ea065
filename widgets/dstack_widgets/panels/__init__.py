"""Panels of text: facts, findings, details, charts."""

__all__ = ["charts", "detail_pane", "facts", "findings", "flow", "lines"]
