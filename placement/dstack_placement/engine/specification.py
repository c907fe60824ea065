"""Lanes of a whole run configuration, as it is written in YAML or sent to the server."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from .lanes import Lane, LanesError, check_counts, check_known, read_lanes, sets_lanes

#: The group that dstack gives the replicas of a service without `groups`.
ONLY_GROUP = "0"


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """What a run configuration says of one replica group.

    Attributes:
        name: The group's name.
        least: Least replica count.
        greatest: Greatest replica count; None is no limit.
        router: Whether the group's replica is the service's router.
        lanes: Lanes of its own; None where those of the service apply.
    """

    name: str
    least: int = 1
    greatest: int | None = 1
    router: bool = False
    lanes: tuple[Lane, ...] | None = None


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """What a run configuration says of placement.

    Attributes:
        lanes: Lanes of the service; empty where it names no fleet.
        groups: The replica groups, in their order.
        warnings: Lines on what is allowed and still worth a second look.
    """

    lanes: tuple[Lane, ...] = ()
    groups: tuple[GroupSpec, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def has_lanes(self) -> bool:
        """Whether a lane sets a minimum, a maximum or a priority, or a group has its own `fleets`.

        Where none does, the replicas are placed by the stock server's own rule, one fleet for all.
        """
        return any(not lane.plain for lane in self.lanes) or any(
            group.lanes is not None for group in self.groups
        )


def read_configuration(
    configuration: Mapping[str, object],
    *,
    known: Collection[str] | None = None,
    project: str | None = None,
) -> ServiceSpec:
    """Reads and checks the lanes of a run configuration.

    A configuration without lanes is not checked: it is the stock server's, which accepts a fleet
    twice and names that do not exist. `fleets` of a group are lanes, be they names only.

    Args:
        configuration: The configuration as a mapping, with `type`, `fleets`, `replicas`, `groups`.
        known: Names of the fleets that exist, `project/name` for imported ones; None where they
            are not known, and then names are not checked.
        project: The project in which the service runs.

    Raises:
        LanesError: The lanes can't be accepted; it has one line for each reason.
    """
    read, wrong = _read(configuration, project)
    if not _has_lanes(configuration):
        return read  # the stock server judges names alone
    if wrong:
        raise LanesError(dict.fromkeys(wrong))
    kind = configuration.get("type", "service")
    if kind != "service":
        raise LanesError(
            [f"Lanes are for services, and this is a {kind}. Name its fleets without counts."]
        )
    wrong, warnings = _check(read, known)
    if wrong:
        raise LanesError(dict.fromkeys(wrong))
    return replace(read, warnings=tuple(warnings))


def read_stored(configuration: Mapping[str, object], *, project: str | None = None) -> ServiceSpec:
    """Reads the lanes of a service that is there already, whatever they are.

    A plugin or an older client may have stored what `read_configuration` refuses. The service is
    placed all the same, as far as its lanes can be met; what is wrong is among the warnings.

    Args:
        configuration: The configuration, as for `read_configuration`.
        project: The project in which the service runs.
    """
    read, wrong = _read(configuration, project)
    if not _has_lanes(configuration):
        return read
    errors, warnings = _check(read, None)
    return replace(read, warnings=tuple(dict.fromkeys([*wrong, *errors, *warnings])))


def _read(
    configuration: Mapping[str, object], project: str | None
) -> tuple[ServiceSpec, list[str]]:
    """What can be read of a configuration, and what is wrong with the rest."""
    lanes, wrong = read_lanes(configuration.get("fleets"), project=project)
    groups: list[GroupSpec] = []
    for name, entry in _groups(configuration):
        try:
            least, greatest = _range(entry.get("replicas", entry.get("count")))
        except LanesError as error:
            wrong.extend(error.lines)
            least, greatest = 0, None
        own: tuple[Lane, ...] | None = None
        if entry is not configuration and entry.get("fleets") is not None:
            own, lines = read_lanes(entry["fleets"], where=_where(name), project=project)
            wrong += lines
        router = entry is not configuration and entry.get("router") is not None
        groups.append(GroupSpec(name, least, greatest, router, own or None))
    return ServiceSpec(lanes, tuple(groups)), wrong


def _has_lanes(configuration: Mapping[str, object]) -> bool:
    return sets_lanes(configuration.get("fleets")) or any(
        entry.get("fleets") for _, entry in _groups(configuration) if entry is not configuration
    )


def _check(read: ServiceSpec, known: Collection[str] | None) -> tuple[list[str], list[str]]:
    """Lines for which lanes are refused, and warnings."""
    errors: list[str] = []
    warnings: list[str] = []
    shared = [group for group in read.groups if group.lanes is None]
    pools = [("fleets", read.lanes, shared)]
    pools += [(_where(group.name), group.lanes, [group]) for group in read.groups if group.lanes]
    for where, lanes, groups in pools:
        if known is not None:
            errors += check_known(lanes, known, where=where)
        if not lanes:
            continue
        if not groups:
            warnings.append(f"`{where}` applies to no group: each has `fleets` of its own.")
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
    return f"fleets of group {group}"


def _groups(configuration: Mapping[str, object]) -> list[tuple[str, Mapping[str, object]]]:
    listed = configuration.get("groups")
    if listed is None and isinstance(configuration.get("replicas"), list):
        listed = configuration["replicas"]  # where servers before 0.21.3 have the groups
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        return [(ONLY_GROUP, configuration)]
    return [
        (str(entry.get("name") or number), entry)
        for number, entry in enumerate(listed)
        if isinstance(entry, Mapping)
    ]


def _range(value: object) -> tuple[int, int | None]:
    """Least and greatest of `replicas`: a number, `3..10`, or a mapping with `min` and `max`."""
    if value is None:
        return 1, 1
    if isinstance(value, Mapping):
        low, high = value.get("min"), value.get("max")
    else:
        low, dots, high = str(value).partition("..")
        high = high if dots else low
    try:
        return int(low or 0), None if high in (None, "") else int(str(high))
    except (TypeError, ValueError):
        raise LanesError(
            [f"`replicas` is not a count ({value}). Write a number, or a range such as 3..10."]
        ) from None
