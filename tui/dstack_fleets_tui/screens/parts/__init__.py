"""What several screens are made of."""

__all__ = [
    "asking",
    "base",
    "boxes",
    "closing",
    "columns",
    "detail",
    "events_view",
    "only_wrong",
    "outside",
    "own_reads",
    "palette",
    "questions",
    "reading",
    "said_line",
    "with_events",
]
