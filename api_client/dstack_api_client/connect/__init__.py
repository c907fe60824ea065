"""Which server, which project, with which token: asked of files, environment and user."""

__all__ = ["connection", "discovery"]
