"""Replica groups and lanes of a whole run configuration, as it is written in YAML or sent."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .lane import Lane
from .lanes import LanesError, check_counts, check_known, read_lanes, sets_lanes
from .lines import Code, Line
from .model import SHARED
from .reclaim import Reclaim

#: The group that dstack gives the replicas of a service without `groups`.
ONLY_GROUP = "0"


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """What a run configuration says of one replica group.

    Attributes:
        name: The group's name; its number where it has none.
        least: Minimum replica count.
        greatest: Maximum replica count; None is no limit.
        router: Whether the group's replica is the service's router.
        lanes: Lanes of its own; None where those of the service apply.
        named: Whether it stands in a list of groups; else it is the whole service.
        entry: What stands there of it, as received; of a service without groups nothing.
    """

    name: str
    least: int = 1
    greatest: int | None = 1
    router: bool = False
    lanes: tuple[Lane, ...] | None = None
    named: bool = field(default=True, compare=False)
    entry: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def own_lanes(self) -> bool:
        """Whether it has `fleets` of its own, be they such that none can be read."""
        return bool(self.entry.get("fleets"))


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """What a run's spec says of replica groups and lanes, in whichever form dstack takes.

    Attributes:
        lanes: Lanes of the service; empty where it names no fleet.
        groups: The replica groups, in their order; one where the service has none.
        warnings: Lines on what is allowed and still worth a second look.
        kind: The type of the run.
        counted: Whether the groups are in the form of dstack before 0.21.3, a list under
            `replicas`.
        reclaim: From which services its minimums take places.
        fleets: The entries of the service's `fleets` in force, as received.
        wrong: Lines for which the spec is refused if it has lanes.
    """

    lanes: tuple[Lane, ...] = ()
    groups: tuple[GroupSpec, ...] = ()
    warnings: tuple[Line, ...] = ()
    kind: str = "service"
    reclaim: Reclaim = Reclaim.OFF
    counted: bool = field(default=False, compare=False)
    fleets: tuple[Any, ...] = field(default=(), compare=False, repr=False)
    wrong: tuple[Line, ...] = field(default=(), compare=False, repr=False)

    @classmethod
    def of(cls, spec: Mapping[str, Any], *, project: str | None = None) -> ServiceSpec:
        """Reads a run's spec, whose profile names the fleets where the configuration does not.

        Args:
            spec: The spec, with `configuration` and `profile`.
            project: The project in which the service runs.
        """
        profile = mapping(spec.get("profile"))
        return cls.read(mapping(spec.get("configuration")), profile=profile, project=project)

    @classmethod
    def read(
        cls,
        configuration: Mapping[str, Any],
        *,
        profile: Mapping[str, Any] | None = None,
        project: str | None = None,
    ) -> ServiceSpec:
        """Reads a configuration as far as it can be read; nothing is refused.

        As dstack has it, `fleets: []` is a list of none, and `fleets: null` leaves it to the
        profile, of a group to the service. A group can't have no fleet: `[]` is null there.

        Args:
            configuration: With `type`, `fleets`, `replicas`, `groups`, as written or as received.
            profile: What holds where the configuration is silent.
            project: The project in which the service runs.
        """
        listed = configuration.get("fleets")
        if listed is None and profile is not None:
            listed = profile.get("fleets")
        lanes, wrong = read_lanes(listed, project=project)
        entries, counted = _listed(configuration)
        groups = []
        for name, entry in entries or [(ONLY_GROUP, configuration)]:
            count = entry.get("replicas")
            (least, greatest), lines = _range(entry.get("count") if count is None else count)
            wrong += lines
            own: tuple[Lane, ...] = ()
            if entries:
                where = _where(name)
                own, lines = read_lanes(entry.get("fleets"), where=where, project=project)
                wrong += lines
            router = bool(entries) and entry.get("router") is not None
            kept = entry if entries else {}
            groups.append(
                GroupSpec(name, least, greatest, router, own or None, bool(entries), kept)
            )
        reclaim, lines = _reclaim(configuration.get("reclaim"))
        wrong += lines
        return cls(
            lanes,
            tuple(groups),
            kind=str(configuration.get("type") or "service"),
            reclaim=reclaim,
            counted=counted,
            fleets=tuple(listed) if isinstance(listed, list) else (),
            wrong=tuple(dict.fromkeys(wrong)),
        )

    @property
    def has_lanes(self) -> bool:
        """Whether a lane sets a minimum, a maximum or a priority, or a group has its own `fleets`.

        Where none does, the replicas are placed by the stock server's own rule, one fleet for all.
        """
        return self.kind == "service" and self._sets_lanes

    @property
    def named(self) -> tuple[GroupSpec, ...]:
        """The groups that stand in a list; none of a service without."""
        return tuple(group for group in self.groups if group.named)

    @property
    def pools(self) -> dict[str, tuple[Lane, ...]]:
        """The lanes of each pool that serves a group, by its name."""
        found = (self.pool_of(group.name) for group in self.groups)
        return dict(pool for pool in found if pool is not None)

    @property
    def named_fleets(self) -> frozenset[str]:
        """The fleets that it names, for all groups or for one."""
        lists = (self.lanes, *(group.lanes or () for group in self.groups))
        return frozenset(lane.fleet for lanes in lists for lane in lanes)

    def group(self, name: str) -> GroupSpec | None:
        """The group of that name; None where there is none, as after an edit took it away."""
        return next((group for group in self.groups if group.name == name), None)

    def pool_of(self, group: str) -> tuple[str, tuple[Lane, ...]] | None:
        """The pool of a group with its lanes; None for a group that has none, or is gone."""
        found = self.group(group)
        if found is None:
            return None
        if found.lanes is not None:
            return group, found.lanes
        return (SHARED, self.lanes) if self.lanes else None

    def entries(self, pool: str) -> tuple[Any, ...]:
        """The entries of `fleets` of a pool, as received."""
        if pool == SHARED:
            return self.fleets
        found = self.group(pool)
        own = found.entry.get("fleets") if found is not None else None
        return tuple(own) if isinstance(own, list) else ()

    @property
    def _sets_lanes(self) -> bool:
        return any(not lane.plain for lane in self.lanes) or any(
            group.lanes is not None for group in self.groups
        )

    @property
    def _written(self) -> bool:
        """Whether lanes are written down, be they such that none can be read."""
        return (
            self._sets_lanes
            or sets_lanes(self.fleets)
            or any(group.own_lanes for group in self.groups)
        )


def read_configuration(
    configuration: Mapping[str, Any],
    *,
    profile: Mapping[str, Any] | None = None,
    known: Collection[str] | None = None,
    project: str | None = None,
) -> ServiceSpec:
    """Reads and checks the lanes of a run configuration, as `accepted` does.

    Args:
        configuration: The configuration as a mapping, with `type`, `fleets`, `replicas`, `groups`.
        profile: What holds where the configuration is silent.
        known: Names of the fleets that exist, `project/name` for imported ones; None where they
            are not known, and then names are not checked.
        project: The project in which the service runs.

    Raises:
        LanesError: The lanes can't be accepted; it has one line for each reason.
    """
    return accepted(ServiceSpec.read(configuration, profile=profile, project=project), known)


def accepted(read: ServiceSpec, known: Collection[str] | None = None) -> ServiceSpec:
    """Checks lanes that were read.

    A configuration without lanes is not checked: it is the stock server's, which accepts a fleet
    twice and names that do not exist. `fleets` of a group are lanes, be they names only.

    Args:
        read: The lanes.
        known: Names of the fleets that exist, as for `read_configuration`.

    Returns:
        The same, with what is worth a second look among its warnings.

    Raises:
        LanesError: The lanes can't be accepted; it has one line for each reason.
    """
    if not read._written:
        return read  # the stock server judges names alone
    if read.wrong:
        raise LanesError(read.wrong)
    if read.kind != "service":
        line = f"Lanes are for services, and this is a {read.kind}. Name its fleets without counts."
        raise LanesError([Line(line, Code.NOT_A_SERVICE)])
    wrong, warnings = _check(read, known)
    if wrong:
        raise LanesError(dict.fromkeys(wrong))
    return replace(read, warnings=tuple(warnings))


def read_stored(
    configuration: Mapping[str, Any],
    *,
    profile: Mapping[str, Any] | None = None,
    project: str | None = None,
) -> ServiceSpec:
    """Reads the lanes of a service that is there already, whatever they are.

    A plugin or an older client may have stored what `read_configuration` refuses. The service is
    placed all the same, as far as its lanes can be met; what is wrong is among the warnings.

    Args:
        configuration: The configuration, as for `read_configuration`.
        profile: What holds where the configuration is silent.
        project: The project in which the service runs.
    """
    read = ServiceSpec.read(configuration, profile=profile, project=project)
    if not read._written:
        return read
    errors, warnings = _check(read, None)
    return replace(read, warnings=tuple(dict.fromkeys([*read.wrong, *errors, *warnings])))


def _check(read: ServiceSpec, known: Collection[str] | None) -> tuple[list[Line], list[Line]]:
    """Lines for which lanes are refused, and warnings."""
    errors: list[Line] = []
    warnings: list[Line] = []
    shared = [group for group in read.groups if group.lanes is None]
    pools = [("`fleets`", read.lanes, shared)]
    pools += [(_where(group.name), group.lanes, [group]) for group in read.groups if group.lanes]
    for where, lanes, groups in pools:
        if known is not None:
            errors += check_known(lanes, known, where=where)
        if not lanes:
            continue
        if not groups:
            text = f"{where} applies to no group: each has `fleets` of its own."
            warnings.append(Line(text, Code.UNUSED))
            continue
        wrong, doubts = check_counts(
            lanes,
            where=where,
            workers=_sum(group for group in groups if not group.router),
            routers=_sum(group for group in groups if group.router),
        )
        errors += wrong
        warnings += doubts
    return errors, warnings


def _sum(groups: Iterable[GroupSpec]) -> tuple[int, int | None]:
    least, greatest = 0, 0
    unlimited = False
    for group in groups:
        least += group.least
        unlimited = unlimited or group.greatest is None
        greatest += group.greatest or 0
    return least, None if unlimited else greatest


def _where(group: str) -> str:
    return f"`fleets` of group {group}"


def mapping(value: object) -> Mapping[str, Any]:
    """A mapping as it is; an empty one for what is none."""
    return value if isinstance(value, Mapping) else {}


def _reclaim(value: object) -> tuple[Reclaim, list[Line]]:
    """The setting; YAML reads `off` as a boolean. What can't be read is `off`, with a line."""
    if value is None or value is False:
        return Reclaim.OFF, []
    try:
        return Reclaim(value), []
    except ValueError:
        known = ", ".join(each.value for each in Reclaim)
        line = f"`reclaim` is {_shown(value)}. Use one of: {known}."
        return Reclaim.OFF, [Line(line, Code.UNKNOWN_RECLAIM, field="reclaim")]


def _listed(configuration: Mapping[str, Any]) -> tuple[list[tuple[str, Mapping[str, Any]]], bool]:
    """The groups in the list of a configuration by name, and whether they have the older form."""
    listed, counted = configuration.get("groups"), False
    if not listed:
        listed, counted = configuration.get("replicas"), True
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        return [], False
    found = [
        (str(entry.get("name") or number), entry)
        for number, entry in enumerate(listed)
        if isinstance(entry, Mapping)
    ]
    return found, counted and bool(found)


def _range(value: object) -> tuple[tuple[int, int | None], list[Line]]:
    """Least and greatest of `replicas`: a number, `3..10`, or a mapping with `min` and `max`.

    What can't be read is any count, with a line that says so.
    """
    if value is None:
        return (1, 1), []
    text = _shown(value)
    if isinstance(value, Mapping):
        low, high = value.get("min"), value.get("max")
    else:
        low, dots, high = text.partition("..")
        high = high if dots else low
    try:
        return (_whole(low) or 0, _whole(high)), []
    except (TypeError, ValueError, OverflowError):
        line = f"`replicas` is not a count ({text}). Write a number, or a range such as 3..10."
        return (0, None), [Line(line, Code.NOT_A_COUNT, field="replicas")]


def _shown(value: object) -> str:
    try:
        return str(value)
    except ValueError:  # Python writes no number of thousands of digits
        return "a huge number"


def _whole(value: object) -> int | None:
    """A number that may be written as text, or with a fraction of nothing; None for nothing."""
    if value is None or value == "":
        return None
    number = float(str(value)) if "." in str(value) else int(str(value))
    if number != int(number):
        raise ValueError(value)
    return int(number)
