"""How things, figures and faults are put into words, on screens and for commands."""

__all__ = ["faults", "formatting", "whatif_words", "words"]
