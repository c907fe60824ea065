"""The edit of a service: an immutable value that every key stroke replaces by another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from dstack_api_client.edits.base.base import Base
from dstack_api_client.edits.errors import EditError
from dstack_api_client.edits.spec import fields
from dstack_api_client.edits.spec.fields import ABSENT, ORDER, Path
from dstack_api_client.edits.spec.read_spec import ReadSpec
from dstack_api_client.edits.spec.views import (
    LANE_FIELDS,
    SERVICE,
    GroupView,
    configuration_of,
    whole,
)
from dstack_api_client.model.capabilities import RECLAIM, Capabilities
from dstack_placement.engine import Lane, LanesError, LaneValue, Reclaim, ServiceSpec, in_order

__all__ = [
    "LANE_FIELDS",
    "SERVICE",
    "GroupView",
    "ServiceEdit",
    "no_reclaim",
    "what_is_missing",
]

_CONFIGURATION = ("configuration",)


@dataclass(frozen=True)
class ServiceEdit:
    """A service's spec with changes.

    Every method gives a new edit; what was not changed stays in `spec` as it was received.

    Attributes:
        base: The service that the edit began with.
        capabilities: What the server can do.
        spec: The whole spec with the changes; must not be changed.
    """

    base: Base
    capabilities: Capabilities
    spec: Mapping[str, Any]

    @classmethod
    def begin(cls, base: Base, capabilities: Capabilities) -> ServiceEdit:
        """An edit that changes nothing yet."""
        return cls(base, capabilities, base.spec)

    @property
    def changed(self) -> bool:
        """Whether anything differs from the base."""
        return not fields.same(self.spec, self.base.spec)

    @property
    def changes(self) -> dict[Path, tuple[Any, Any]]:
        """By path the old and the new value of each field that differs."""
        return fields.changes(self.base.spec, self.spec)

    @property
    def can_edit_lanes(self) -> bool:
        """Whether the server's schema knows lanes; where it does not, they are read-only."""
        return self.capabilities.lanes

    @property
    def configuration(self) -> Mapping[str, Any]:
        """The spec's configuration."""
        return configuration_of(self.spec)

    @cached_property
    def read(self) -> ReadSpec:
        """What the spec says."""
        if self.spec is self.base.spec:
            return self.base.read
        return ReadSpec(self.spec, self.base.target.project)

    @property
    def accepted(self) -> ServiceSpec:
        """Its replica groups and lanes once the engine has found nothing wrong with them.

        Raises:
            LanesError: The lanes can't be accepted.
        """
        judged = self.read.judged
        if isinstance(judged, LanesError):
            raise LanesError(judged.lines)
        return judged

    @property
    def begun(self) -> ServiceEdit:
        """The edit that changes nothing yet."""
        return ServiceEdit.begin(self.base, self.capabilities)

    @property
    def groups(self) -> tuple[GroupView, ...]:
        """The replica groups in their order."""
        return self.read.groups

    @property
    def pools(self) -> tuple[str, ...]:
        """The service's pool and those of the groups with lanes of their own."""
        return (SERVICE, *(group.name for group in self.groups if group.own_lanes))

    @property
    def run_priority(self) -> int:
        """The run's priority."""
        return whole(self.configuration.get("priority"))

    @property
    def reclaim(self) -> Reclaim:
        """From which services its minimums take places."""
        return self.read.lanes.reclaim

    @property
    def knows_reclaim(self) -> bool:
        """Whether the server's add-on takes `reclaim`."""
        return self.can_edit_lanes and self.capabilities.can(RECLAIM)

    def lanes(self, pool: str = SERVICE) -> tuple[Lane, ...]:
        """The lanes of the service, or of a group with lanes of its own, as they are listed."""
        return self.read.pool(pool).lanes

    def lane_before(self, pool: str, fleet: str) -> Lane | None:
        """A lane before the edit; None for one that was added."""
        return self.base.read.pool(pool).by_fleet.get(fleet)

    def raw_lane(self, pool: str, fleet: str) -> Mapping[str, Any]:
        """A lane as it stands in the spec; empty for a bare name."""
        return self.read.pool(pool).entries.get(fleet, {})

    def filled(self, pool: str = SERVICE) -> tuple[Lane, ...]:
        """The same in the order in which they are filled."""
        return tuple(in_order(self.lanes(pool)))

    def with_lane(self, pool: str, fleet: str, **values: LaneValue | None) -> ServiceEdit:
        """Changes what a lane says besides its fleet.

        Args:
            pool: The lane's pool.
            fleet: The lane's fleet.
            values: By field; None is the default.

        Raises:
            EditError: There is no such lane, or the server knows none.
        """
        self._need_lanes()
        self._lane(pool, fleet)
        was = self.lane_before(pool, fleet)
        known = fields.fields_of(self.base.spec)
        changes: dict[Path, Any] = {}
        for name, value in values.items():
            if name not in LANE_FIELDS:
                raise EditError(f"A lane has no {name}.", f"It has: {', '.join(LANE_FIELDS)}.")
            path = (*_fleets_path(pool), fleet, name)
            if was is not None and value == getattr(was, name):
                changes[path] = known.get(path, ABSENT)  # as it was written, if it was at all
            elif value is None:
                changes[path] = ABSENT
            else:
                changes[path] = value
        return self._with(self._lanes_as_mappings(pool), changes)

    def add_lane(self, pool: str, fleet: str, **values: LaneValue | None) -> ServiceEdit:
        """Adds a lane at the end; one that was removed comes back as it was.

        Raises:
            EditError: The fleet has a lane already, or the server knows no lanes.
        """
        self._need_lanes()
        names = [lane.fleet for lane in self.lanes(pool)]
        if fleet in names:
            raise EditError(f"Fleet {fleet} has a lane already.", "Change that one.")
        path = _fleets_path(pool)
        before = fields.fields_of(self.base.spec)
        old = {at: value for at, value in before.items() if at[:-1] == (*path, fleet)}
        entry: dict[Path, Any] = old or {
            (*path, fleet, key): value for key, value in fields.lane_entry(fleet).items()
        }
        edit = self._with(self._lanes_as_mappings(pool), {**entry, (*path, ORDER): [*names, fleet]})
        return edit.with_lane(pool, fleet, **values) if values else edit

    def remove_lane(self, pool: str, fleet: str) -> ServiceEdit:
        """Removes a lane.

        Raises:
            EditError: There is no such lane, or the server knows none.
        """
        self._need_lanes()
        self._lane(pool, fleet)
        path = _fleets_path(pool)
        names = [lane.fleet for lane in self.lanes(pool) if lane.fleet != fleet]
        spec = self._lanes_as_mappings(pool)
        if names:
            return self._with(spec, {(*path, ORDER): names})
        gone = [at for at in fields.fields_of(spec) if at[: len(path)] == path]
        # As a spec without lanes has it: null for a service, nothing for a group.
        return self._with(spec, {**dict.fromkeys(gone, ABSENT), path: ABSENT if pool else None})

    def move_lane(self, pool: str, fleet: str, by: int) -> ServiceEdit:
        """Moves a lane up (-1) or down (1) in the order of filling.

        It takes the priority of the lanes it passes as far as needed: where priorities are equal,
        the order of the list decides.
        """
        self._need_lanes()
        self._lane(pool, fleet)
        order = list(self.filled(pool))
        here = next(number for number, lane in enumerate(order) if lane.fleet == fleet)
        there = min(max(here + by, 0), len(order) - 1)
        if here == there:
            return self
        priorities = [lane.priority for lane in order]
        order.insert(there, order.pop(here))
        edit = self
        for lane, priority in zip(order, priorities, strict=True):
            if lane.priority != priority:
                edit = edit.with_lane(pool, lane.fleet, priority=priority)
        names = [lane.fleet for lane in order]
        if [lane.fleet for lane in edit.filled(pool)] != names:
            edit = edit.with_order(pool, names)
        return edit

    def with_order(self, pool: str, names: Sequence[str]) -> ServiceEdit:
        """Lists the lanes in another order, which decides among equal priorities."""
        self._need_lanes()
        return self._with(
            self._lanes_as_mappings(pool), {(*_fleets_path(pool), ORDER): list(names)}
        )

    def with_own_lanes(self, group: str, *, own: bool) -> ServiceEdit:
        """Gives a group lanes of its own, at first the service's, or takes them away."""
        self._need_lanes()
        if own == any(view.name == group and view.own_lanes for view in self.groups):
            return self
        path = _fleets_path(group)
        known = fields.fields_of(self.spec)
        if own:
            above = _fleets_path(SERVICE)
            values = {
                (*path, *at[len(above) :]): value
                for at, value in fields.fields_of(self._lanes_as_mappings(SERVICE)).items()
                if at[: len(above)] == above
            }
            return self._with(self.spec, {path: ABSENT, **values})
        gone = [at for at in known if at[: len(path)] == path]
        return self._with(self.spec, dict.fromkeys(gone, ABSENT))

    def with_replicas(self, group: str, least: int, greatest: int | None = None) -> ServiceEdit:
        """Changes how many replicas a group has; of a service without groups the group is `0`.

        Scaling rules go with the range: one number leaves none, and a range that comes back has
        those that it had.

        Args:
            group: The group's name.
            least: The minimum count.
            greatest: The greatest; the least if None.

        Raises:
            EditError: There is no such group, or the server has groups in another form.
        """
        self._refuse_counted_groups()
        view = self.group(group)
        top = least if greatest is None else greatest
        path = _group_path(view)
        known = fields.fields_of(self.base.spec)
        was = known.get((*path, "replicas"))
        value: Any = {"min": least, "max": top}
        if isinstance(was, Mapping) and was.get("min") == least and was.get("max") == top:
            value = was
        elif was is None and (least, top) == (1, 1):
            value = None
        changes: dict[Path, Any] = {(*path, "replicas"): value}
        spec = fields.with_fields(self.spec, changes)
        rules = (*path, "scaling")
        here = {at: v for at, v in fields.fields_of(spec).items() if at[: len(rules)] == rules}
        if least == top and view.scaled:
            changes = {**dict.fromkeys(here, ABSENT), rules: None}
            return self._with(spec, changes)
        there = {at: v for at, v in known.items() if at[: len(rules)] == rules}
        if least != top and not view.scaled and there:
            return self._with(spec, {**dict.fromkeys(here, ABSENT), **there})
        return self._with(spec, {})

    def with_group(self, group: str, **values: str | None) -> ServiceEdit:
        """Changes `spot_policy` or `reservation` of a replica group.

        Raises:
            EditError: There is no such group, or no such field, or the server has groups in
                another form.
        """
        self._refuse_counted_groups()
        view = self.group(group)
        if not view.named:
            raise EditError(
                "The spot policy and the reservation of a service without replica groups can't be"
                " changed in place.",
                "They can for each of its `groups`.",
            )
        wrong = values.keys() - {"spot_policy", "reservation"}
        if wrong:
            raise EditError(
                f"A group's {', '.join(sorted(wrong))} can't be changed here.",
                "Edit the configuration as text.",
            )
        return self._with(
            self.spec, {(*_group_path(view), name): value for name, value in values.items()}
        )

    def with_priority(self, priority: int) -> ServiceEdit:
        """Changes the run's priority."""
        return self._with(self.spec, {(*_CONFIGURATION, "priority"): priority})

    def with_reclaim(self, reclaim: Reclaim) -> ServiceEdit:
        """Changes from which services the minimums take places.

        Raises:
            EditError: The server's add-on knows no such setting.
        """
        if not self.knows_reclaim:
            raise EditError(*no_reclaim(self.capabilities))
        path = (*_CONFIGURATION, "reclaim")
        begun = self.begun.reclaim
        value = fields.fields_of(self.base.spec).get(path, ABSENT)  # as it was written
        if reclaim is not begun:
            value = ABSENT if reclaim is Reclaim.OFF else reclaim.value
        return self._with(self.spec, {path: value})

    def with_configuration(self, configuration: Mapping[str, Any]) -> ServiceEdit:
        """Takes another configuration as a whole, as `texts` makes it of YAML."""
        return replace(self, spec={**self.spec, "configuration": dict(configuration)})

    def with_values(self, values: Mapping[Path, Any]) -> ServiceEdit:
        """Sets fields by their paths, as kept drafts have them."""
        return self._with(self.spec, values)

    def group(self, name: str) -> GroupView:
        """A group by its name.

        Raises:
            EditError: There is none of that name.
        """
        for view in self.groups:
            if view.name == name:
                return view
        names = ", ".join(view.name for view in self.groups)
        raise EditError(f"The service has no replica group {name}.", f"It has: {names}.")

    def _lane(self, pool: str, fleet: str) -> Lane:
        lane = self.read.pool(pool).by_fleet.get(fleet)
        if lane is not None:
            return lane
        names = ", ".join(lane.fleet for lane in self.lanes(pool)) or "none"
        raise EditError(f"There is no lane for fleet {fleet}.", f"There are: {names}.")

    def _need_lanes(self) -> None:
        if not self.capabilities.lanes:
            raise EditError(*what_is_missing(self.capabilities))

    def _refuse_counted_groups(self) -> None:
        if self.read.lanes.counted:
            raise EditError(
                "This server has replica groups in the form of dstack 0.20, a list under"
                " `replicas`, whose fields can't be edited one by one.",
                "Edit the configuration as text, or update dstack on the server.",
            )

    def _lanes_as_mappings(self, pool: str) -> Mapping[str, Any]:
        """The spec, with lanes that stand there as bare names, or in the profile, written out."""
        path = _fleets_path(pool)
        entries = self.read.lanes.entries(pool)
        listed = configuration_of(self.spec).get("fleets") if pool == SERVICE else entries
        if listed and not any(isinstance(entry, str) for entry in entries):
            return self.spec
        written = [
            fields.lane_entry(entry) if isinstance(entry, str) else entry for entry in entries
        ]
        return fields.with_fields(self.spec, {path: written}) if written else self.spec

    def _with(self, spec: Mapping[str, Any], values: Mapping[Path, Any]) -> ServiceEdit:
        return replace(self, spec=fields.with_fields(spec, values))


def what_is_missing(capabilities: Capabilities) -> tuple[str, str]:
    """What a server without lanes lacks, and how to get it, a sentence each."""
    if capabilities.has_addon:
        return (
            "This server's placement add-on knows no lanes.",
            "Update it: pip install -U 'dstack-fleets-tui[server]'.",
        )
    if capabilities.unread:
        doubt = "It is not known whether this server has the placement add-on, which lanes need."
        return f"{doubt} {capabilities.unread}", "Begin the edit again when it can be asked."
    return (
        "This server places all replicas of a service in one fleet: it has no placement add-on.",
        "Install 'dstack-fleets-tui[server]' there and start it with `dstack-fleets server`.",
    )


def no_reclaim(capabilities: Capabilities) -> tuple[str, str]:
    """What a server lacks that takes no `reclaim`, and how to get it, a sentence each."""
    if capabilities.lanes and capabilities.has_addon:
        return (
            "This server's placement add-on knows no `reclaim`.",
            "Update it: pip install -U 'dstack-fleets-tui[server]'.",
        )
    return what_is_missing(capabilities)


def _fleets_path(pool: str) -> Path:
    if pool == SERVICE:
        return (*_CONFIGURATION, "fleets")
    return (*_CONFIGURATION, "groups", pool, "fleets")


def _group_path(view: GroupView) -> Path:
    return (*_CONFIGURATION, "groups", view.name) if view.named else _CONFIGURATION
