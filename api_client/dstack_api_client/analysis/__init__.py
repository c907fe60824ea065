"""What follows from a snapshot: distribution, rollouts, room."""
