"""What names mean that people type: which things of a snapshot."""

__all__ = ["finding", "selection", "whatif_question"]
