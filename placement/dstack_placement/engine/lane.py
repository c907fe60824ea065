"""A lane, and what it may say besides its fleet: read, typed, shown and compared from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .lines import Code, Line
from .typed import whole_number

#: What a field of a lane can have for a value.
LaneValue = int

#: The maximum count or priority. No service comes near it; without a limit, explaining one could
#: take any time.
GREATEST_COUNT = 1_000_000


@dataclass(frozen=True, slots=True)
class LaneField:
    """One thing that a lane may say besides its fleet: a whole number.

    What is no whole number is of a class below this one, with its own `kind`, `read` and `typed`.

    Attributes:
        kind: The type of its values.
        name: In a configuration, in answers and in JSON.
        short: In a sentence, and as the key of a column.
        title: At the head of a column.
        help: What it is, in a sentence.
        default: What holds where it is not said.
        unset: What that is called, where it is not a number.
    """

    kind: ClassVar[type] = int

    name: str
    short: str
    title: str
    help: str
    default: LaneValue | None = 0
    unset: str = ""

    def number(self, value: object) -> LaneValue | None:
        """A value as the number that it says; None for what is none."""
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def read(self, value: object, whose: str) -> tuple[LaneValue | None, Line | None]:
        """Reads a value of a configuration.

        Args:
            value: What stands there.
            whose: What has it.

        Returns:
            The value, None for one that counts as not given; and what is wrong with it.
        """
        number, key = self.number(value), self.name
        if number is None:
            text = f"`{key}` of {whose} is not a whole number. Write 0 or more."
            return None, Line(text, Code.NOT_A_NUMBER, field=key)
        if number < 0:
            text = f"`{key}` of {whose} is negative ({number}). Write 0 or more."
            return None, Line(text, Code.NEGATIVE, field=key)
        if number > GREATEST_COUNT:
            text = f"`{key}` of {whose} is above {GREATEST_COUNT}. Lower it."
            return GREATEST_COUNT, Line(text, Code.TOO_LARGE, field=key)
        return number, None

    def typed(self, text: str, most: int) -> LaneValue | Line | None:
        """Reads what was typed; nothing stands for the default.

        Args:
            text: What was typed.
            most: The greatest that is taken.

        Returns:
            The value, or what is wrong.
        """
        return whole_number(text, most, self.default)


#: In the order in which configurations have them.
LANE_FIELDS = (
    LaneField("min_replicas", "min", "MIN", "the number of replicas always kept in this fleet"),
    LaneField(
        "max_replicas",
        "max",
        "MAX",
        "the maximum number of replicas in this fleet",
        None,
        "no maximum",
    ),
    LaneField(
        "priority",
        "priority",
        "PRIO",
        "fleets of higher priority are filled first, fleets of equal priority in the order of the"
        " list",
    ),
)
#: In the order in which screens and answers have them: what goes first comes first.
LANE_COLUMNS = tuple(sorted(LANE_FIELDS, key=lambda field: field.name != "priority"))
FIELD_NAMES = tuple(field.name for field in LANE_FIELDS)


@dataclass(frozen=True, slots=True)
class Lane:
    """One entry of `fleets`: a fleet, and how many replicas belong there.

    Attributes:
        fleet: The fleet's name, or `project/name` for an imported fleet.
        min_replicas: Replicas always kept here.
        max_replicas: Most replicas here; None is no limit.
        priority: Higher goes first. Lanes of equal priority keep the order of the list.
        explicit: Whether a count or the priority was written down, be it the default.
    """

    fleet: str
    min_replicas: int = 0
    max_replicas: int | None = None
    priority: int = 0
    explicit: bool = field(default=False, compare=False)

    @property
    def plain(self) -> bool:
        """Whether this is no more than a fleet's name, as the stock server knows it."""
        return not (self.explicit or any(self.value(each) != each.default for each in LANE_FIELDS))

    @classmethod
    def of(cls, fleet: str, values: Mapping[str, Any]) -> Lane:
        """A lane with the values of a mapping; what is null there, or not at all, is the default.

        Args:
            fleet: The fleet's name, as lanes have it.
            values: By name of the field, already checked.
        """
        said = {name: values[name] for name in FIELD_NAMES if values.get(name) is not None}
        return cls(fleet, **said, explicit=bool(said))

    def value(self, field: LaneField) -> LaneValue | None:
        """What it says of one field."""
        found: LaneValue | None = getattr(self, field.name)
        return found

    def values(self) -> dict[str, Any]:
        """What it says of each field, by name."""
        return {field.name: self.value(field) for field in LANE_COLUMNS}
