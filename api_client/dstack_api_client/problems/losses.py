"""What the loss of jobs means: whether requests fail or a baseline is broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from dstack_api_client.analysis.distribution import distribution_of
from dstack_api_client.analysis.endings import ends_with_host
from dstack_api_client.analysis.reach import out_of_reach
from dstack_api_client.model.purchases import baselines
from dstack_api_client.model.replica import Replica, ReplicaKey
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot


def breaks_something(
    snapshot: Snapshot, jobs: Iterable[Replica], *, given_up: bool = False
) -> bool:
    """Whether it is more than a service with fewer replicas when jobs are lost.

    It is when one of them routes, when no ready replica does what one did, when a baseline falls
    below its minimum, and when a job is not a service's: nothing else does its work.

    Args:
        snapshot: What is.
        jobs: The jobs. Others on hosts that can't be reached are lost too.
        given_up: Whether dstack gives their hosts up, which ends a service whose `retry` is not
            for that.
    """
    jobs = list(jobs)
    lost = {job.key for job in jobs}
    for run_id in {job.key.run_id for job in jobs}:
        service = snapshot.services.get(run_id)
        of_run = [job for job in jobs if job.key.run_id == run_id]
        if service is None:
            return True
        if given_up and any(ends_with_host(snapshot, service, job, lost) for job in of_run):
            return True
        if _breaks(snapshot, service, of_run, lost):
            return True
    return False


def _breaks(
    snapshot: Snapshot, service: Service, jobs: Iterable[Replica], lost: Collection[ReplicaKey]
) -> bool:
    found = [each for each in snapshot.replicas_of(service) if each.key not in lost]
    left = [each for each in found if each.ready and not out_of_reach(snapshot, each)]
    names = baselines(service)
    firm = {group.name: group.replicas_min for group in service.groups if group.name in names}
    minimums: dict[str, int] = {}
    if service.has_lanes:
        for row in distribution_of(snapshot, service).rows:
            if row.fleet is not None and row.minimum:
                minimums[row.fleet] = minimums.get(row.fleet, 0) + row.minimum
    roles = {each.role for each in left}
    in_group = Counter(each.group for each in left)
    in_fleet = Counter(each.fleet_name for each in left)
    for job in jobs:
        if (
            job.is_router
            or job.role not in roles
            or in_group[job.group] < firm.get(job.group, 0)
            or in_fleet[job.fleet_name] < minimums.get(job.fleet_name or "", 0)
        ):
            return True
    return False
