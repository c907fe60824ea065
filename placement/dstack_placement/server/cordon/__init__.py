"""Cordoning, draining and uncordoning on request, until nothing is left."""

__all__ = ["cordon_answers", "cordoning", "emptied"]
