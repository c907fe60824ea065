"""Lanes in dstack's regular pass over an active run."""

__all__ = ["listed_workers", "running"]
