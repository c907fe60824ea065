"""Which instance a job runs on.

A job has neither a fleet id nor an instance id in the API. An event that names both is exact; a
host name that only one instance has is nearly so; otherwise the run's fleet has to do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from dstack_api_client.model.replica import NO_CAPACITY, Link
from dstack_api_client.text import one_line
from dstack_api_client.transport import wire

#: The names of fleets of other projects, where there are none.
NONE_IMPORTED: Mapping[str, str] = MappingProxyType({})


class Place(NamedTuple):
    """Where a job is, as far as it is known."""

    instance_id: str | None
    fleet_id: str | None
    fleet_name: str | None
    link: Link


def by_host(instances: Mapping[str, wire.Instance]) -> dict[str, tuple[str, ...]]:
    """The instances of each host name; more than one where only their SSH ports differ."""
    hosts: dict[str, list[str]] = defaultdict(list)
    for instance in instances.values():
        if instance.hostname:
            hosts[one_line(instance.hostname)].append(instance.id)
    return {host: tuple(ids) for host, ids in hosts.items()}


def place(
    run: wire.Run,
    submission: wire.JobSubmission,
    *,
    instances: Mapping[str, wire.Instance],
    hosts: Mapping[str, tuple[str, ...]],
    links: Mapping[str, str],
    imported: Mapping[str, str] = NONE_IMPORTED,
    has_lanes: bool = False,
) -> Place:
    """Finds where a submission runs.

    Args:
        run: The run it belongs to.
        submission: The submission.
        instances: Instances by id.
        hosts: Instances by host name.
        links: Instances by submission, from events.
        imported: The names of fleets of other projects, by id.
        has_lanes: Whether lanes decide on the fleet of each replica: the run's own tells nothing.

    Returns:
        The place, with how it is known.
    """
    linked = instances.get(links.get(submission.id, ""))
    # The instance that was to be made for a job that found no place is none.
    if linked is not None and not _has_found_none(submission):
        return _on(linked, Link.EXACT, imported)
    data = submission.job_provisioning_data
    candidates: list[wire.Instance] = []
    if data is not None and data.hostname:
        ids = hosts.get(one_line(data.hostname), ())
        candidates = _narrowed([instances[each] for each in ids], run, data)
    if len(candidates) == 1:
        return _on(candidates[0], Link.HOST, imported)
    if run.fleet is not None and not has_lanes and not _has_no_place(submission):
        return Place(None, run.fleet.id, fleet_of_run(run, imported), Link.RUN_FLEET)
    return Place(None, None, None, Link.UNKNOWN)


def _has_no_place(submission: wire.JobSubmission) -> bool:
    """Whether there is no instance for a submission: it waits for one, or has found none."""
    if submission.status == "submitted":
        return submission.job_provisioning_data is None
    return _has_found_none(submission)


def _has_found_none(submission: wire.JobSubmission) -> bool:
    return submission.termination_reason == NO_CAPACITY and submission.job_provisioning_data is None


def fleet_of_run(run: wire.Run, imported: Mapping[str, str]) -> str | None:
    """The name of the fleet that the server stored on a run."""
    if run.fleet is None:
        return None
    return imported.get(run.fleet.id) or one_line(run.fleet.name)


def fleet_of_instance(instance: wire.Instance, imported: Mapping[str, str]) -> str | None:
    """The name of the fleet that an instance belongs to."""
    if instance.fleet_name is None:
        return None
    return imported.get(instance.fleet_id or "") or one_line(instance.fleet_name)


def _on(instance: wire.Instance, link: Link, imported: Mapping[str, str]) -> Place:
    return Place(instance.id, instance.fleet_id, fleet_of_instance(instance, imported), link)


def _narrowed(
    candidates: list[wire.Instance], run: wire.Run, data: wire.ProvisioningData
) -> list[wire.Instance]:
    """Leaves out what can't be the one, as long as something is left."""
    for fits in (
        lambda instance: instance.backend == data.backend and instance.region == data.region,
        lambda instance: instance.instance_type == data.instance_type,
        lambda instance: run.fleet is None or instance.fleet_id == run.fleet.id,
        lambda instance: bool(instance.busy_blocks),
    ):
        if len(candidates) < 2:
            break
        candidates = [each for each in candidates if fits(each)] or candidates
    return candidates
