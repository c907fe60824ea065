"""Placement of the replicas of one service over several fleets: rules only, no input or output.

The server asks `place` for one replica, `next_actions` for all, and `stopping_order` for who goes
first. A client asks `preview` what an edit would do. docs/placement-engine.md states the rules.
"""

from .addresses import HeldAddress, held_addresses
from .causes import Cause
from .cooldown import Cooldown, after_failure
from .draining import DEFAULT_DRAIN, LONGEST_DRAIN, Drain
from .explain import LaneWhy, none_idle
from .foresight import Contenders, Foresight, GivingWay, foresee
from .lane import LANE_COLUMNS, LANE_FIELDS, Lane, LaneField, LaneValue
from .lanes import (
    LanesError,
    check_counts,
    check_known,
    in_order,
    parse_lanes,
    twice,
)
from .lines import Code, Line, code_of
from .model import SHARED, Group, Part, Replica, ReplicaState, Room, Service, take_part
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
from .reclaim import (
    Contender,
    Occupant,
    Reclaim,
    Reclaiming,
    is_reclaimable,
    needs_places,
    next_reclaim,
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
from .typed import bounded, shortened, whole_number

__all__ = [
    "DEFAULT_DRAIN",
    "LANE_COLUMNS",
    "LANE_FIELDS",
    "LONGEST_DRAIN",
    "ONLY_GROUP",
    "SHARED",
    "Action",
    "Cause",
    "Code",
    "Contender",
    "Contenders",
    "Cooldown",
    "Drain",
    "Foresight",
    "GivingWay",
    "Group",
    "GroupSpec",
    "HeldAddress",
    "Lane",
    "LaneField",
    "LanePlan",
    "LaneValue",
    "LaneWhy",
    "LanesError",
    "Line",
    "Occupant",
    "Part",
    "Placing",
    "Plan",
    "Reason",
    "Reclaim",
    "Reclaiming",
    "Replica",
    "ReplicaPlan",
    "ReplicaState",
    "Room",
    "Service",
    "ServiceSpec",
    "accepted",
    "after_failure",
    "bounded",
    "check_counts",
    "check_known",
    "code_of",
    "depends_on_rooms",
    "foresee",
    "held_addresses",
    "in_order",
    "is_reclaimable",
    "mapping",
    "needs_places",
    "next_actions",
    "next_reclaim",
    "none_idle",
    "parse_lanes",
    "place",
    "preview",
    "read_configuration",
    "read_stored",
    "shortened",
    "stopping_order",
    "take_part",
    "targets",
    "twice",
    "whole_number",
]
