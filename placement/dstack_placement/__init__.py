"""Placement of the replicas of one service over several fleets."""

__all__ = ["engine"]
