"""What keeps an instance busy, where none of its project's runs is known to."""

from __future__ import annotations

from enum import Enum

from dstack_api_client.model.fleet import Instance
from dstack_api_client.model.snapshot import Snapshot


class Unseen(str, Enum):
    """Who uses a busy instance on which no job is known."""

    OTHER_PROJECT = "another project"
    """Its fleet is lent by another project, or it was made for one that borrows the fleet."""
    OF_FLEET = "a job of its fleet"
    """Of a job in its fleet it is not known on which instance it is."""
    NOT_KNOWN = "unknown"
    """No run of this project is there: another project's may be, or one that can't be read."""


def unseen(instance: Instance, snapshot: Snapshot) -> Unseen | None:
    """Who uses an instance that is busy without a known job; None for others."""
    if instance.status != "busy" or instance.jobs or not snapshot.complete:
        return None
    if snapshot.guests_on(instance):
        return Unseen.OTHER_PROJECT
    fleet = snapshot.fleets.get(instance.fleet_id or "")
    if fleet is not None and fleet.unplaced:
        return Unseen.OF_FLEET
    owners = (fleet.project if fleet is not None else None, instance.project)
    if any(owner not in (None, "", snapshot.project) for owner in owners):
        return Unseen.OTHER_PROJECT
    return Unseen.NOT_KNOWN


def namesakes(instance: Instance, snapshot: Snapshot) -> tuple[Instance, ...]:
    """The other instances of a fleet that have the same number, hosts that failed among them."""
    fleet = snapshot.fleets.get(instance.fleet_id or "")
    if fleet is None or instance.num not in fleet.shared_numbers:
        return ()
    there = (snapshot.instances.get(key) for key in fleet.instance_ids)
    found = (*(each for each in there if each is not None), *fleet.failed)
    return tuple(each for each in found if each.num == instance.num and each.id != instance.id)
