"""What the loss of a host means for the services that have replicas on it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dstack_api_client.model.replica import Replica, ReplicaKey
from dstack_api_client.model.service import Group
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Kind, Problem, Severity
from dstack_api_client.problems.watch import problems_of
from tests.builders.projects import (
    NOW,
    fleet,
    group,
    instances,
    project,
    replica,
    service,
    with_lanes,
)

LANES = with_lanes([{"name": "reserved", "min_replicas": 1, "priority": 10}, {"name": "spot"}], 2)
RETRY = {"configuration": {"type": "service", "retry": {"on_events": ["interruption"]}}}
ANY_RETRY = {"configuration": {"type": "service", "retry": True}}
PREFILL, DECODE = (replace(group(name), role=name) for name in ("prefill", "decode"))


def split(num: int, name: str) -> Replica:
    """A replica of a service whose prefill is apart from its decode."""
    return replica(num, "spot", group=name, role=name)


def without_hosts(
    replicas: list[Replica],
    *lost: int,
    groups: list[Group] | None = None,
    spec: dict[str, Any] | None = None,
) -> Snapshot:
    """A service, with some of its replicas on hosts that can't be reached."""
    hosts = [
        replace(
            instances(each.fleet_name or "", "busy")[0],
            id=each.instance_id or "",
            num=each.key.replica_num,
            unreachable=each.key.replica_num in lost,
            jobs=(each.key,),
        )
        for each in replicas
    ]
    chat = service(replicas, groups, **({"spec": spec} if spec else {}))
    chat = replace(chat, has_lanes=spec is LANES)
    return project((chat, replicas), fleets=[fleet("reserved"), fleet("spot")], hosts=hosts)


def of_hosts(snapshot: Snapshot) -> list[Problem]:
    return [each for each in problems_of(snapshot, NOW) if each.kind is Kind.INSTANCE]


TWO = [replica(0, "reserved"), replica(1, "spot", spot=True)]


@pytest.mark.parametrize(
    ("snapshot", "severity"),
    [
        (without_hosts(TWO, 1, spec=LANES), Severity.WARNING),
        (without_hosts(TWO, 0, spec=LANES), Severity.CRITICAL),
        (without_hosts(TWO, 1, spec=RETRY), Severity.WARNING),
        (without_hosts(TWO, 1), Severity.CRITICAL),
        (without_hosts([replica(0, "spot")], 0), Severity.CRITICAL),
        (without_hosts([*TWO[1:], replica(2, "reserved", ready=False)], 1), Severity.CRITICAL),
        (
            without_hosts(
                [split(0, "prefill"), split(1, "decode"), split(2, "decode")],
                2,
                groups=[PREFILL, DECODE],
                spec=ANY_RETRY,
            ),
            Severity.WARNING,
        ),
        (
            without_hosts([split(0, "prefill"), split(1, "decode")], 0, groups=[PREFILL, DECODE]),
            Severity.CRITICAL,
        ),
    ],
    ids=[
        "overflow",
        "baseline",
        "one of two",
        "no retry",
        "last",
        "last ready",
        "one decode",
        "only prefill",
    ],
)
def test_a_lost_host_is_as_bad_as_what_it_means(snapshot: Snapshot, severity: Severity) -> None:
    (found,) = of_hosts(snapshot)
    assert found.severity is severity


def test_hosts_that_are_lost_together_hold_nothing_up() -> None:
    found = of_hosts(without_hosts(TWO, 0, 1))
    assert [each.severity for each in found] == [Severity.CRITICAL] * 2


def test_a_task_on_a_lost_host_is_critical() -> None:
    made = without_hosts(TWO, 1)
    key = ReplicaKey("r-task", 0, 0)
    job = replace(TWO[1], key=key, run_name="train", run_type="task")
    host = replace(made.instances["i-spot-1"], jobs=(key,))
    (found,) = of_hosts(
        replace(
            made,
            instances={**made.instances, host.id: host},
            replicas={**made.replicas, key: job},
        )
    )
    assert found.severity is Severity.CRITICAL


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (RETRY, "What runs there fails after 2 minutes, and dstack looks for another place."),
        (LANES, "What runs there fails after 2 minutes, and dstack looks for another place."),
        (
            {"configuration": {"type": "service", "retry": {"on_events": ["no-capacity"]}}},
            "chat has no `retry` for that, and dstack ends all of it.",
        ),
        (
            {"configuration": {"type": "service"}, "profile": {"retry": True}},
            "What runs there fails after 2 minutes, and dstack looks for another place.",
        ),
        (
            {"configuration": {"type": "service"}},
            "fails after 2 minutes: chat has no `retry` for that, and dstack ends all of it.",
        ),
    ],
)
def test_what_comes_of_it_is_what_the_service_says(spec: dict[str, Any], says: str) -> None:
    (found,) = of_hosts(without_hosts(TWO, 1, spec=spec))
    assert found.hint.endswith(says)
