"""Since when things are as they are, from events."""

from __future__ import annotations

from datetime import datetime

from dstack_api_client.analysis.since import Since, since_of
from dstack_api_client.transport import wire
from tests.builders.projects import ago, fleet, instances, project, replica, service


def event(message: str, at: datetime, *targets: tuple[str, str]) -> wire.Event:
    about = [wire.EventTarget(kind, key) for kind, key in targets]
    return wire.Event(f"{message}{at}{targets}", message, at, None, about)


UNREACHABLE = event("Instance became unreachable", ago(minutes=4), ("instance", "i-a-0"))
HEALTH = event("Instance health changed HEALTHY -> WARNING", ago(minutes=3), ("instance", "i-a-0"))
IDLE = event("Instance status changed BUSY -> IDLE", ago(minutes=2), ("instance", "i-a-0"))
RUNS = event(
    "Job status changed PULLING -> RUNNING", ago(minutes=6), ("job", "j-chat-0"), ("job", "j-x-1")
)
READY = event("Service replica ready to receive requests", ago(minutes=5), ("job", "j-chat-0"))
OLD_READY = event(
    "Service replica registered to receive requests", ago(minutes=7), ("job", "j-y-0")
)
UPDATED = event(
    "Run updated. Deployment: 12. Changed fields: []", ago(minutes=1), ("run", "s-chat")
)
ALL = [UNREACHABLE, HEALTH, IDLE, RUNS, READY, OLD_READY, UPDATED]


def test_what_events_say() -> None:
    since = since_of(ALL)
    assert since.unreachable == {"i-a-0": ago(minutes=4)}
    assert since.health == {"i-a-0": ago(minutes=3)}
    assert since.instance_status == {"i-a-0": ago(minutes=2)}
    assert since.job_status == {"j-chat-0": ago(minutes=6), "j-x-1": ago(minutes=6)}
    assert since.ready == {"j-chat-0": ago(minutes=5), "j-y-0": ago(minutes=7)}
    assert since.deployments == {("s-chat", 12): ago(minutes=1)}


def test_the_latest_counts_in_whatever_order() -> None:
    later = event("Instance became unreachable", ago(seconds=1), ("instance", "i-a-0"))
    for order in ([UNREACHABLE, later], [later, UNREACHABLE]):
        assert since_of(order).unreachable == {"i-a-0": ago(seconds=1)}
        since = Since()
        for one in order:
            since.learn([one])
        assert since.unreachable == {"i-a-0": ago(seconds=1)}


def test_what_is_learned_stays_when_events_are_dropped() -> None:
    since = since_of([UNREACHABLE])
    since.learn([IDLE])
    assert since.unreachable
    assert since.instance_status


def test_other_words_are_left_alone() -> None:
    others = [
        event("Instance became reachable", ago(), ("instance", "i-a-0")),
        event("Run updated. Deployment: soon. Changed fields: []", ago(), ("run", "s-chat")),
        wire.Event("e", "Job status changed A -> B", ago(), None, None),
    ]
    since = since_of(others)
    assert not any((since.unreachable, since.job_status, since.deployments))


def test_what_is_gone_is_forgotten() -> None:
    since = since_of(ALL)
    replicas = [replica(0)]
    there = project(
        (service(replicas), replicas), fleets=[fleet("a")], hosts=instances("a", "idle")
    )
    since.forget_all_but(there)
    assert since.unreachable
    assert since.job_status == {"j-chat-0": ago(minutes=6)}
    assert since.ready == {"j-chat-0": ago(minutes=5)}
    assert since.deployments
    since.forget_all_but(project())
    assert not any(
        (since.unreachable, since.health, since.instance_status, since.job_status, since.ready,
         since.deployments)
    )  # fmt: skip
