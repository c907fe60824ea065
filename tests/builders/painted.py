"""All that the tables of the screens show of a project."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from dstack_api_client.analysis.distribution import distribution_of
from dstack_api_client.analysis.rollout import rollout_of
from dstack_api_client.analysis.since import Since
from dstack_api_client.events.stream import Event
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Problem
from dstack_fleets_tui.tables import (
    deployments,
    distribution,
    events,
    fleets,
    instances,
    problems,
    replicas,
    services,
    workers,
)
from dstack_fleets_tui.tables.looks import Looks


def paint(
    snapshot: Snapshot,
    since: Since,
    found: Sequence[Problem],
    happened: Sequence[Event],
    now: datetime,
) -> None:
    """Makes the cells and lines of the screens."""
    looks = Looks(now.astimezone())
    for fleet in snapshot.fleets.values():
        fleets.cells(fleet, snapshot, looks)
        fleets.summary(fleet, looks)
    for instance in snapshot.instances.values():
        instances.cells(instance, snapshot, looks)
        instances.summary(instance, snapshot)
    for service in snapshot.services.values():
        services.cells(service, looks)
        services.summary(service)
        spread = distribution_of(snapshot, service)
        shape = distribution.shape(spread, 100)
        distribution.total(spread, shape, looks)
        distribution.findings(spread, looks)
        for row in spread.rows:
            distribution.cells(row, shape, looks)
            distribution.summary(row, spread.labels, looks)
        rollout = rollout_of(snapshot, service, since=since)
        deployments.head(rollout, looks)
        deployments.findings(rollout, looks)
        for deployment in rollout.deployments:
            deployments.cells(deployment, rollout, looks)
    for replica in snapshot.replicas.values():
        replicas.probes(replica, looks)
        replicas.summary(replica)
    for view in snapshot.routers.values():
        workers.head(view, looks)
        for worker in view.workers:
            workers.cells(worker, snapshot.replicas, looks)
            workers.summary(worker, snapshot.replicas)
    for problem in found:
        problems.cells(problem, looks)
    for event in happened:
        events.row(event, now.date(), looks)
        events.summary(event)
