"""What the server does by itself after a fleet was edited: which instances it starts and ends.

The rules are the server's own (dstack 0.22.5, `pipeline_tasks/fleets.py`): instances on which
nothing runs end when they no longer fit the spec, and idle ones above `max`; up to `min` it starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dstack_api_client.edits.fleet.fleet import FleetEdit
from dstack_api_client.edits.outlook.warnings import PlanWarning, Risk
from dstack_api_client.edits.spec import fields
from dstack_api_client.model.fleet import INSTANCE_GONE, Instance
from dstack_api_client.model.jobs_only import jobs_only_line, no_minimum_line, with_jobs_only
from dstack_api_client.model.short_forms import read_price
from dstack_api_client.model.snapshot import Snapshot

#: Instances of these states end when they no longer fit.
_UNUSED = frozenset({"idle", "provisioning"})


@dataclass(frozen=True)
class Effects:
    """What follows from an edit.

    Attributes:
        now: Instances that are there.
        starts: How many the server starts.
        unfit: Unused instances that end because they no longer fit.
        above: Idle instances that end because there are more than `max`.
        warnings: What else is to be known.
        added: Hosts that the server sets up.
        removed: Instances of hosts that the server lets go.
        with_jobs_only: Whether its backends start instances for jobs and none ahead of them.
    """

    now: int
    starts: int
    unfit: tuple[Instance, ...]
    above: tuple[Instance, ...]
    warnings: tuple[PlanWarning, ...]
    added: tuple[str, ...] = ()
    removed: tuple[Instance, ...] = ()
    with_jobs_only: bool = False

    @property
    def ends(self) -> tuple[Instance, ...]:
        """All that end."""
        return (*self.unfit, *self.above, *self.removed)

    @property
    def after(self) -> int:
        """Instances that are there when it is done."""
        return self.now + self.starts + len(self.added) - len(self.ends)


def effects(edit: FleetEdit, snapshot: Snapshot) -> Effects | None:
    """What would follow from an edit of a cloud fleet; None where the snapshot has it not."""
    here = in_fleet(edit, snapshot)
    if here is None:
        return None
    unfit = tuple(
        instance
        for instance in here
        if instance.status in _UNUSED
        and _fits(instance, edit.base.spec)
        and not _fits(instance, edit.spec)
    )
    nodes, left = edit.nodes, len(here) - len(unfit)
    too_many = max(left - nodes.greatest, 0) if nodes.greatest is not None else 0
    idle = [each for each in idle_instances(snapshot, edit.base.id) if each not in unfit]
    never = with_jobs_only(_backends(edit, snapshot))
    found = Effects(
        now=len(here),
        starts=0 if never else max(nodes.least - left, 0),
        unfit=unfit,
        above=tuple(idle[:too_many]),
        warnings=(),
        with_jobs_only=never,
    )
    warnings = tuple(_warnings(edit, found, too_many - len(found.above)))
    if never and nodes.least:
        line = f"{jobs_only_line(_backends(edit, snapshot))}. {no_minimum_line(nodes.greatest)}"
        warnings = (*warnings, PlanWarning("minimum", Risk.NOTE, line))
    return replace(found, warnings=warnings)


def in_fleet(edit: FleetEdit, snapshot: Snapshot) -> list[Instance] | None:
    """The instances of the edited fleet that are there; None where the snapshot has it not."""
    fleet = snapshot.fleets.get(edit.base.id)
    if fleet is None:
        return None
    return [
        instance
        for each in fleet.instance_ids
        if (instance := snapshot.instances.get(each)) is not None
        and instance.status not in INSTANCE_GONE
    ]


def idle_instances(snapshot: Snapshot, fleet_id: str) -> tuple[Instance, ...]:
    """The instances of a fleet on which nothing runs, by number."""
    fleet = snapshot.fleets.get(fleet_id)
    found = [snapshot.instances.get(each) for each in fleet.instance_ids] if fleet else []
    return tuple(
        instance
        for instance in found
        if instance is not None and instance.status == "idle" and not instance.busy_blocks
    )


def can_be_deleted(instance: Instance) -> bool:
    """Whether no job holds an instance, as the server asks before it deletes one.

    One that starts has no job yet, and one that can't be reached may have none. What keeps a busy
    one without a job in sight is another project's.
    """
    held = instance.jobs or instance.busy_blocks or instance.status == "busy"
    return not held and instance.status not in INSTANCE_GONE


def _warnings(edit: FleetEdit, found: Effects, busy_above: int) -> Iterator[PlanWarning]:
    if busy_above > 0:
        what = "1 busy instance stays" if busy_above == 1 else f"{busy_above} busy instances stay"
        line = f"{what} above `max` until idle."
        yield PlanWarning("above-maximum", Risk.NOTE, line)
    before = FleetEdit(edit.base, edit.base.spec)
    if not fields.same(before.configuration.get("resources"), edit.configuration.get("resources")):
        line = "Idle instances that do not fit the new `resources` end too."
        yield PlanWarning("resources", Risk.WARNING, line)
    nodes = edit.nodes
    if nodes.target != before.nodes.target and nodes.target > max(nodes.least, found.now):
        line = "`target` is only stored: it starts nothing by itself."
        yield PlanWarning("target", Risk.NOTE, line)


def _backends(edit: FleetEdit, snapshot: Snapshot) -> Sequence[str]:
    """The backends that the edited fleet may use."""
    named = _value(edit.spec, "backends")
    return [str(each) for each in named] if isinstance(named, list) else snapshot.backends


def _fits(instance: Instance, spec: Mapping[str, Any]) -> bool:
    """Whether an instance is one that the spec allows, resources left out."""
    policy = _value(spec, "spot_policy") or "on-demand"
    if policy != "auto" and instance.spot != (policy == "spot"):
        return False
    limit = read_price(_value(spec, "max_price"))
    if limit is not None and instance.price is not None and instance.price > limit:
        return False
    return (
        _among(instance.backend, _value(spec, "backends"))
        and _among(instance.region, _value(spec, "regions"))
        and _among(instance.instance_type, _value(spec, "instance_types"))
        and _among(instance.availability_zone, _value(spec, "availability_zones"))
    )


def _among(value: str | None, allowed: Any) -> bool:
    """Whether a list allows a value; what is not known yet is no reason against."""
    if value is None or not isinstance(allowed, list):
        return True
    return value.lower() in (str(each).lower() for each in allowed)


def _value(spec: Mapping[str, Any], name: str) -> Any:
    """A field of the configuration, else of the profile."""
    for part in ("configuration", "profile"):
        values = spec.get(part)
        if isinstance(values, Mapping) and values.get(name) is not None:
            return values[name]
    return None
