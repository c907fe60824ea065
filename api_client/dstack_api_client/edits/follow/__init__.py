"""What becomes of a change until it has settled."""
