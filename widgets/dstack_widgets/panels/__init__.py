"""Panels of text: facts, findings, details, charts."""
