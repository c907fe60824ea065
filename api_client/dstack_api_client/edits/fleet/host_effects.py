"""What the server does once hosts of an SSH fleet were added or removed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dstack_api_client.edits.fleet.fleet import FleetEdit
from dstack_api_client.edits.fleet.fleet_effects import Effects, can_be_deleted, in_fleet
from dstack_api_client.edits.fleet.host_keys import keys_line
from dstack_api_client.edits.outlook.warnings import PlanWarning, Risk
from dstack_api_client.model.fleet import Instance
from dstack_api_client.model.labels import job_name, listed
from dstack_api_client.model.occupants import namesakes
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.text import one_line


def added_hosts(edit: FleetEdit) -> tuple[str, ...]:
    """The names of the hosts that an edit adds."""
    known = {host.name for host in edit.hosts_before}
    return tuple(host.name for host in edit.hosts if host.name not in known)


def removed_hosts(edit: FleetEdit) -> tuple[str, ...]:
    """The names of the hosts that an edit removes."""
    left = {host.name for host in edit.hosts}
    return tuple(host.name for host in edit.hosts_before if host.name not in left)


def host_effects(edit: FleetEdit, snapshot: Snapshot) -> Effects | None:
    """What would follow from an edit of an SSH fleet; None where the snapshot has it not."""
    here = in_fleet(edit, snapshot)
    if here is None:
        return None
    gone = removed_hosts(edit)
    removed = tuple(instance for instance in here if instance.hostname in gone)
    return Effects(
        now=len(here),
        starts=0,
        unfit=(),
        above=(),
        warnings=tuple(_warnings(edit, removed, snapshot)),
        added=added_hosts(edit),
        removed=removed,
    )


def _warnings(
    edit: FleetEdit, removed: Sequence[Instance], snapshot: Snapshot
) -> Iterator[PlanWarning]:
    for instance in removed:
        name = one_line(instance.hostname or instance.name)
        if not can_be_deleted(instance):
            runs = _runs(instance, snapshot)
            by = f" by {listed(runs)}" if runs else ""
            line = (
                f"{name} is in use{by}: the server refuses the whole change until nothing runs"
                " there. First drain it or stop what runs there."
            )
            yield PlanWarning("host-in-use", Risk.DANGER, line)
        for other in namesakes(instance, snapshot):
            if other not in removed:
                line = (
                    f"{one_line(other.hostname or other.name)} has the number of {name}, and goes"
                    " with it."
                )
                yield PlanWarning("same-number", Risk.DANGER, line)
    if line := keys_line(edit.configuration):
        yield PlanWarning("keys", Risk.NOTE, line)


def _runs(instance: Instance, snapshot: Snapshot) -> list[str]:
    jobs = [snapshot.replicas[key] for key in instance.jobs if key in snapshot.replicas]
    guests = dict.fromkeys(guest.run for guest in snapshot.guests_on(instance))
    return [*map(job_name, jobs), *guests]
