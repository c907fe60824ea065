"""The edit of a fleet and a new one, with their plans."""
