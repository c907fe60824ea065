"""What is kept on this machine: drafts, what undo needs, and the audit log."""
