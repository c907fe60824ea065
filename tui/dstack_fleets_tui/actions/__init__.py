"""Actions: every key and command, and what a typed command means."""
