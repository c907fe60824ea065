"""The plan of an edit, and sending it."""
