"""Looking for what is wrong, over 100 services of 30 replicas, and over a tenth of that."""

from __future__ import annotations

import gc
from dataclasses import replace
from datetime import timedelta

from dstack_api_client.analysis.distribution import distribution_of
from dstack_api_client.analysis.rollout import rollout_of
from dstack_api_client.model.replica import Replica
from dstack_api_client.model.router import Sync
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.watch import ProblemWatch, problems_of
from tests.builders.projects import (
    NOW,
    event,
    fleet,
    instances,
    lane,
    placement,
    project,
    replica,
    router,
    service,
    worker,
)

from .figures import Figure
from .table import Cases, Table, grown

_SERVICES, _REPLICAS, _FLEETS = 100, 30, 10
_SMALLER = 10
_ROUNDS = 20


def _project(services: int, *, wrong: bool) -> Snapshot:
    """Every service has lanes and a router; where it is wrong, all of it is."""
    hosts = [
        replace(host, unreachable=wrong)
        for number in range(_FLEETS)
        for host in instances(f"f{number}", *["busy"] * (services * 10 // _FLEETS))
    ]
    pairs, placements, routers = [], [], []
    for number in range(services):
        name = f"s{number}"
        replicas = [
            _replica(name, n, f"f{number % _FLEETS}", wrong=wrong) for n in range(_REPLICAS)
        ]
        pairs.append((service(replicas, name=name), replicas))
        short = {"min_replicas": 2, "deficit": 1, "reason": "baseline 1 of 2"} if wrong else {}
        placements.append(replace(placement(lane("f0", **short)), run_id=f"s-{name}"))
        workers = [
            replace(
                worker(n, Sync.MISSING, router_health=None, wrong=80) if wrong else worker(n),
                replica=each.key,
            )
            for n, each in enumerate(replicas)
        ]
        routers.append(replace(router(*workers), run_id=f"s-{name}"))
    fleets = [fleet(f"f{number}") for number in range(_FLEETS)]
    return project(*pairs, fleets=fleets, hosts=hosts, placements=placements, routers=routers)


def _replica(name: str, number: int, at: str, *, wrong: bool) -> Replica:
    if wrong:
        return replica(number, at, "pulling", service=name, ready=False)
    return replica(number, at, service=name)


def _cases(services: int) -> Cases:
    right, wrong = _project(services, wrong=False), _project(services, wrong=True)
    gc.freeze()  # as the dashboard does after a large load
    one = next(iter(right.services.values()))
    watch = ProblemWatch()
    events = [
        event("Job status changed A -> B", NOW - timedelta(seconds=n), "job", f"j-s{n}-0")
        for n in range(1000)
    ]
    return {
        "nothing is wrong": lambda: problems_of(right, NOW),
        "everything is wrong": lambda: problems_of(wrong, NOW),
        "one look of a watch, 1,000 events known": lambda: watch.look(right, NOW, events),
        "one service over its fleets": lambda: distribution_of(right, one),
        "the rollout of one service": lambda: rollout_of(right, one),
    }


def run() -> Table:
    cases = grown(_cases(_SERVICES // _SMALLER), _cases(_SERVICES), _ROUNDS)
    return Table(
        title=f"What is wrong, over services of {_REPLICAS} replicas",
        columns=(
            "look",
            f"{_SERVICES // _SMALLER} services",
            f"{_SERVICES} services",
            "times",
        ),
        rows=[case.row for case in cases],
        note=f"Linear would be {_SMALLER} times.",
        figures=[
            Figure(f"problems of {_SERVICES * _REPLICAS:,} replicas: {case.name}", case.large)
            for case in cases
        ],
    )
