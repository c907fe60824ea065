"""Lanes whose workers a service's router can't reach."""

__all__ = ["reachability", "unreachable"]
