"""Placement of the replicas of one service over several fleets."""
