"""Changes with all that goes with them: applying, undoing, deleting, rebalancing."""

__all__ = ["cordoning", "deleting", "performing", "rebalancing", "stopping", "undoing"]
