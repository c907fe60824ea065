"""Changes with all that goes with them: applying, undoing, deleting, rebalancing."""
