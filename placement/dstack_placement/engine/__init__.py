"""Placement of the replicas of one service over several fleets: rules only, no input or output.

The server asks `place` for one replica, `next_actions` for all, and `stopping_order` for who goes
first. A client asks `preview` what an edit would do. docs/placement-engine.md states the rules.
"""

from .addresses import HeldAddress, held_addresses
from .cooldown import Cooldown, after_failure
from .explain import LaneWhy, none_idle
from .lanes import LANE_COLUMNS, LANE_FIELDS, Lane, LaneField, LanesError, parse_lanes
from .lines import Code, Line, code_of
from .model import SHARED, Group, Replica, ReplicaState, Room, Service
from .placing import Placing, Reason, place
from .planning import (
    Action,
    LanePlan,
    Plan,
    ReplicaPlan,
    depends_on_rooms,
    next_actions,
    preview,
)
from .specification import (
    ONLY_GROUP,
    GroupSpec,
    ServiceSpec,
    accepted,
    mapping,
    read_configuration,
    read_stored,
)
from .stopping import stopping_order
from .targets import targets

__all__ = [
    "LANE_COLUMNS",
    "LANE_FIELDS",
    "ONLY_GROUP",
    "SHARED",
    "Action",
    "Code",
    "Cooldown",
    "Group",
    "GroupSpec",
    "HeldAddress",
    "Lane",
    "LaneField",
    "LanePlan",
    "LaneWhy",
    "LanesError",
    "Line",
    "Placing",
    "Plan",
    "Reason",
    "Replica",
    "ReplicaPlan",
    "ReplicaState",
    "Room",
    "Service",
    "ServiceSpec",
    "accepted",
    "after_failure",
    "code_of",
    "depends_on_rooms",
    "held_addresses",
    "mapping",
    "next_actions",
    "none_idle",
    "parse_lanes",
    "place",
    "preview",
    "read_configuration",
    "read_stored",
    "stopping_order",
    "targets",
]
