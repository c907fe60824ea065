"""dstack's events: kept, told and read on."""

__all__ = ["log", "stream"]
