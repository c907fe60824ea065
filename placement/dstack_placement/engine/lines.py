"""Lines for people, each with a code for programs: nobody has to look for words in a sentence."""

from __future__ import annotations

from enum import Enum


class Code(str, Enum):
    """What a line is about."""

    # Lanes that are refused.
    NOT_A_LIST = "not_a_list"
    TOO_MANY_LANES = "too_many_lanes"
    TWICE = "fleet_twice"
    UNKNOWN_FLEET = "unknown_fleet"
    UNKNOWN_KEY = "unknown_key"
    NO_FLEET = "no_fleet"
    NOT_A_NUMBER = "not_a_number"
    NEGATIVE = "negative"
    TOO_LARGE = "too_large"
    MAXIMUM_BELOW_MINIMUM = "maximum_below_minimum"
    MINIMUMS_ABOVE_COUNT = "minimums_above_count"
    MAXIMUMS_BELOW_COUNT = "maximums_below_count"
    NOT_A_COUNT = "not_a_count"
    NOT_A_SERVICE = "not_a_service"
    UNKNOWN_RECLAIM = "unknown_reclaim"
    # What is allowed and still worth a second look.
    MINIMUMS_ABOVE_LEAST = "minimums_above_least_count"
    UNUSED = "lanes_of_no_group"
    # How a lane stands.
    BELOW_MINIMUM = "below_minimum"
    RESTORING = "restoring"
    RECLAIMING = "reclaiming"
    ABOVE_MAXIMUM = "above_maximum"
    AT_MAXIMUM = "at_maximum"
    COOLDOWN = "cooldown"
    FULL = "full"
    HAS_ROOM = "has_room"
    NO_LIMIT = "no_limit"
    ROOM_NOT_KNOWN = "room_not_known"
    MORE_TO_COME = "more_to_come"
    FEW_DESIRED = "few_desired"
    NONE_TO_SPARE = "none_to_spare"
    # Notes on a plan.
    ROOM_UNKNOWN = "room_unknown"
    ROLLOUT = "rollout"
    NO_LANES = "no_lanes"
    OUT_OF_REACH = "out_of_reach"
    WORKERS_OUT_OF_REACH = "workers_out_of_reach"
    RECLAIM = "reclaim"
    GIVES_WAY = "gives_way"
    FORESEEN = "would_give_way"


class Line(str):
    """A line for people.

    Attributes:
        code: What it is about; empty for a line of which that is not known.
        field: The field of a lane that it is about; `fleet` for the fleet, or all of it.
    """

    code: str
    field: str

    def __new__(cls, text: str, code: str = "", *, field: str = "fleet") -> Line:
        """A line of a text."""
        line = super().__new__(cls, text)
        line.code = code.value if isinstance(code, Code) else code
        line.field = field
        return line


def code_of(text: str) -> str:
    """The code of a line; empty for a text that has none."""
    return text.code if isinstance(text, Line) else ""
