"""The fleets of lanes: which there are, what is cordoned, and how much room they have."""

__all__ = ["cordons", "editions", "lane_fleets", "rooms"]
