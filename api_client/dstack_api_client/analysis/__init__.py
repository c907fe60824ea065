"""What follows from a snapshot: distribution, rollouts, room."""

__all__ = [
    "distribution",
    "endings",
    "fleet_facts",
    "fleet_rows",
    "group_rows",
    "health",
    "lane_input",
    "moment",
    "reach",
    "requirements",
    "rollout",
    "room_input",
    "since",
    "spot_policies",
    "unplaced",
]
