"""What names mean that people type: which things of a snapshot."""
