"""Lanes: how a service's `fleets` are read, and what is refused in them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .lane import FIELD_NAMES, LANE_FIELDS, Lane
from .lines import Code, Line

_KEYS = ("name", "project", *FIELD_NAMES)

#: Most lanes in one list. No service comes near it; without a limit, reading one could take any
#: time.
MOST_LANES = 200


class LanesError(ValueError):
    """Lanes that can't be accepted.

    Attributes:
        lines: One line for each thing that is wrong: what it is, and what to do; each with a code
            and the field that it is about.
    """

    def __init__(self, lines: Iterable[Line]) -> None:
        self.lines = tuple(lines)
        super().__init__("\n".join(self.lines))


def in_order(lanes: Sequence[Lane]) -> list[Lane]:
    """The lanes in the order in which they are filled: by priority, then as listed."""
    return sorted(lanes, key=lambda lane: -lane.priority)


def sets_lanes(value: object) -> bool:
    """Whether an entry of `fleets` says more than a fleet's name, be it wrong."""
    return isinstance(value, Sequence) and any(
        isinstance(entry, Mapping) and any(entry.get(key) is not None for key in FIELD_NAMES)
        for entry in value
    )


def parse_lanes(
    value: object, *, where: str = "`fleets`", project: str | None = None
) -> tuple[Lane, ...]:
    """Reads `fleets`: a list whose entries are names, `project/name`, or mappings.

    Args:
        value: What stands behind `fleets:`; None is no lanes.
        where: What to call the list in messages.
        project: The service's own project: `project/name` with it is the same as `name`.

    Raises:
        LanesError: An entry is malformed, has a negative count, a maximum below its minimum, or a
            fleet stands there twice. All such lines are in it.
    """
    lanes, wrong = read_lanes(value, where=where, project=project)
    if wrong:
        raise LanesError(wrong)
    return lanes


def read_lanes(
    value: object, *, where: str = "`fleets`", project: str | None = None
) -> tuple[tuple[Lane, ...], list[Line]]:
    """Reads of `fleets` what can be read, for lanes that are in use whatever they are.

    An entry without a fleet is left out, and so is a fleet's second one and what is past
    `MOST_LANES`. A count that is wrong counts as not given, or as the nearest that is right.

    Args:
        value: What stands behind `fleets:`; None is no lanes.
        where: What to call the list in messages.
        project: The service's own project: `project/name` with it is the same as `name`.

    Returns:
        The lanes, and the lines for which `parse_lanes` refuses them.
    """
    if value is None:
        return (), []
    if isinstance(value, str) or not isinstance(value, Sequence):
        line = f"{where} is not a list. Write one fleet or lane per entry."
        return (), [Line(line, Code.NOT_A_LIST)]
    lanes: dict[str, Lane] = {}
    wrong: list[Line] = []
    if len(value) > MOST_LANES:
        line = f"{where} has {len(value)} entries. Write at most {MOST_LANES}."
        wrong.append(Line(line, Code.TOO_MANY_LANES))
    for number, entry in enumerate(value[:MOST_LANES], 1):
        lane, lines = _read_lane(entry, f"Entry {number} of {where}", project)
        wrong += lines
        if lane is None:
            continue
        if lane.fleet in lanes:
            wrong.append(twice(lane.fleet, where))
        lanes.setdefault(lane.fleet, lane)
    return tuple(lanes.values()), list(dict.fromkeys(wrong))


def twice(fleet: str, where: str) -> Line:
    """The line for a fleet that has two lanes in one list."""
    return Line(f"Fleet {fleet} appears twice in {where}. Keep one of the entries.", Code.TWICE)


def check_known(lanes: Sequence[Lane], known: Collection[str], *, where: str) -> list[Line]:
    """A line for each lane whose fleet is not among those that exist.

    Args:
        lanes: The lanes to check.
        known: Names of the project's fleets, and `project/name` of the imported ones.
        where: What to call the list in messages.
    """
    names = ", ".join(sorted(known))
    advice = f"Use one of: {names}." if names else "Create it first: the project has no fleet."
    return [
        Line(f"Fleet {lane.fleet} in {where} does not exist. {advice}", Code.UNKNOWN_FLEET)
        for lane in lanes
        if lane.fleet not in known
    ]


def check_counts(
    lanes: Sequence[Lane],
    *,
    where: str,
    workers: tuple[int, int | None],
    routers: tuple[int, int | None] = (0, 0),
) -> tuple[list[Line], list[Line]]:
    """Compares minimums and maximums with the replica counts.

    Args:
        lanes: The lanes of the service, or of one group.
        where: What to call the list in messages.
        workers: Least and greatest number of replicas that share the lanes, without the router's;
            None is no limit.
        routers: The same of router replicas, which count towards maximums only.

    Returns:
        Lines for which the lanes are refused, and warnings.
    """
    errors: list[Line] = []
    warnings: list[Line] = []
    minimums = sum(lane.min_replicas for lane in lanes)
    least, greatest = workers
    if greatest is not None and minimums > greatest:
        line = (
            f"The `min_replicas` of {where} add up to {minimums}, above the maximum replica"
            f" count of {greatest}. Lower them or raise `replicas`."
        )
        errors.append(Line(line, Code.MINIMUMS_ABOVE_COUNT, field="min_replicas"))
    elif minimums > least:
        line = (
            f"The `min_replicas` of {where} add up to {minimums}, above the minimum replica count"
            f" of {least}: scaling down to it breaks the baseline."
        )
        warnings.append(Line(line, Code.MINIMUMS_ABOVE_LEAST, field="min_replicas"))
    maximums = [lane.max_replicas for lane in lanes]
    if lanes and None not in maximums:
        allowed = sum(most for most in maximums if most is not None)
        if allowed < least + routers[0]:
            line = (
                f"The `max_replicas` of {where} add up to {allowed}, below the minimum replica"
                f" count of {least + routers[0]}. Raise them or lower `replicas`."
            )
            errors.append(Line(line, Code.MAXIMUMS_BELOW_COUNT, field="max_replicas"))
    return errors, warnings


def _read_lane(entry: object, what: str, project: str | None) -> tuple[Lane | None, list[Line]]:
    """One lane, None where it names no fleet; and what is wrong with it."""
    if isinstance(entry, str):
        fleet, line = _fleet(None, entry, what, project)
        return (Lane(fleet), []) if fleet else (None, [line])
    if not isinstance(entry, Mapping):
        text = f"{what} is neither a fleet's name nor a mapping. Write `name: FLEET`."
        return None, [Line(text, Code.NO_FLEET)]
    wrong = [
        Line(f"{what} has the unknown key {key}. Use one of: {', '.join(_KEYS)}.", Code.UNKNOWN_KEY)
        for key in sorted(map(str, entry))
        if key not in _KEYS
    ]
    fleet, line = _fleet(entry.get("project"), entry.get("name"), what, project)
    if not fleet:
        wrong.append(line)
    counts: dict[str, Any] = {}
    for each in LANE_FIELDS:
        if entry.get(each.name) is None:
            continue
        value, wrong_here = each.read(entry[each.name], fleet or what)
        if wrong_here is not None:
            wrong.append(wrong_here)
        if value is not None:
            counts[each.name] = value
    least, most = counts.get("min_replicas", 0), counts.get("max_replicas")
    if most is not None and most < least:
        text = (
            f"`max_replicas` of {fleet or what} ({most}) is below its `min_replicas` ({least})."
            " Raise the one or lower the other."
        )
        wrong.append(Line(text, Code.MAXIMUM_BELOW_MINIMUM, field="max_replicas"))
        counts["min_replicas"] = most
    if not fleet:
        return None, wrong
    explicit = any(entry.get(key) is not None for key in FIELD_NAMES)
    return replace(Lane.of(fleet, counts), explicit=explicit), wrong


def _fleet(owner: object, name: object, what: str, project: str | None) -> tuple[str, Line]:
    """The fleet as lanes name it; empty where none is named, and then what is wrong."""
    parts = name.split("/") if isinstance(name, str) else []
    if isinstance(owner, str):
        parts = [owner, *parts]
    if (owner is not None and not isinstance(owner, str)) or not parts or not all(parts):
        line = f"{what} names no fleet. Write `name: FLEET` or `name: PROJECT/FLEET`."
        return "", Line(line, Code.NO_FLEET)
    if len(parts) > 2:
        line = f"{what} names more than a project and a fleet. Write `PROJECT/FLEET`."
        return "", Line(line, Code.NO_FLEET)
    return (parts[-1] if len(parts) == 1 or parts[0] == project else "/".join(parts)), Line("")
