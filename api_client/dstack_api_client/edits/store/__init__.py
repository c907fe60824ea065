"""What is kept on this machine: drafts, what undo needs, and the audit log."""

__all__ = ["audit_log", "deployments", "files", "keeping", "kept", "recording", "recovering"]
