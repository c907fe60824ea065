"""A replica is ready once requests reach it, which is later than its probes pass."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dstack_api_client.analysis.rollout import waits_for
from dstack_api_client.events.log import Awaits, EventLog
from dstack_api_client.model.replica import Replica
from dstack_api_client.transport import wire
from tests.builders import answers
from tests.builders.joined_answers import FLEET, joined, known

RUNNING = "Job status changed PULLING -> RUNNING"
TAKEN_IN = "Service replica ready to receive requests"
AT_GATEWAY = "Service replica registered"
LOST, BACK = "Job became unreachable", "Job became reachable"
BOTH = "Service replica registered to receive requests"


def events(*messages: str, first: int = 0) -> list[wire.Event]:
    made = [
        answers.event(number, message, ("job", "a", "llm-0-0"))
        for number, message in enumerate(messages, first)
    ]
    return msgspec.convert(made, list[wire.Event], strict=False)


@pytest.mark.parametrize(
    ("messages", "awaits"),
    [
        ((), {}),
        ((RUNNING,), {"a": Awaits.SERVER}),
        ((RUNNING, TAKEN_IN), {"a": Awaits.GATEWAY}),
        ((RUNNING, TAKEN_IN, AT_GATEWAY), {}),
        ((RUNNING, BOTH), {}),
        ((RUNNING, BOTH, LOST), {"a": Awaits.HOST}),
        ((RUNNING, BOTH, LOST, BACK), {}),
        ((LOST,), {"a": Awaits.HOST}),
    ],
)
def test_events_tell_what_it_waits_for(messages: Any, awaits: Any) -> None:
    log = EventLog("main")
    log.restart(events(*messages), all_of_them=True)
    assert log.awaits == awaits


def test_nothing_is_held_back_that_may_have_been_said_where_events_are_missing() -> None:
    log = EventLog("main")
    log.take(events(RUNNING))
    assert log.awaits == {}, "the log never began"
    log.restart(events(RUNNING), all_of_them=False)
    assert log.awaits == {"a": Awaits.SERVER}
    log.restart(events("Something else", first=500), all_of_them=False)
    assert log.awaits == {}, "what was said between is not known"


def replica(awaits: Awaits | None, **changes: Any) -> Replica:
    job = answers.job(0)
    run = answers.run(1, job, **changes)
    waiting = {} if awaits is None else {job["job_submissions"][0]["id"]: awaits}
    made = joined(known(fleets=[FLEET], runs=[run], awaits=waiting)).snapshot
    (found,) = made.replicas.values()
    for service in made.services.values():
        assert service.ready == found.ready
        assert [group.ready for group in service.groups] == [int(found.ready)]
        assert [share.ready for share in service.shares] == [int(found.ready)]
    return found


def test_one_that_the_server_can_not_reach_is_cut_off_while_it_runs() -> None:
    assert replica(Awaits.HOST).cut_off
    assert not replica(None).cut_off


GATEWAY = {"service": {"url": "https://llm.example.com/", "model": None, "options": {}}}


@pytest.mark.parametrize(
    ("awaits", "changes", "ready"),
    [
        (None, {}, True),
        (Awaits.SERVER, {}, False),
        (Awaits.GATEWAY, {}, True),
        (None, GATEWAY, True),
        (Awaits.SERVER, GATEWAY, False),
        (Awaits.GATEWAY, GATEWAY, False),
    ],
)
def test_it_is_ready_once_what_requests_come_from_knows_it(
    awaits: Awaits | None, changes: Any, ready: bool
) -> None:
    made = replica(awaits, **changes)
    assert (made.ready, made.unreached) == (ready, not ready)
    if not ready:
        assert waits_for(made) == "it runs, and dstack sends it no requests yet"


def test_a_task_is_sent_no_requests_and_waits_for_none() -> None:
    assert replica(Awaits.SERVER, configuration={"type": "task"}).ready


def test_a_worker_is_registered_with_its_router_only() -> None:
    groups = [
        {"name": "0", "count": {"min": 1, "max": 1}},
        {"name": "router", "count": {"min": 1, "max": 1}, "router": {"type": "smg"}},
    ]
    job = answers.job(0)
    run = answers.run(1, job, configuration={"groups": groups, "replicas": None}, **GATEWAY)
    waiting = {job["job_submissions"][0]["id"]: Awaits.GATEWAY}
    made = joined(known(fleets=[FLEET], runs=[run], awaits=waiting)).snapshot
    (worker,) = made.replicas.values()
    assert worker.ready


def test_a_run_is_joined_again_when_requests_reach_it() -> None:
    job = answers.job(0)
    run = answers.run(1, job)
    waiting = {job["job_submissions"][0]["id"]: Awaits.SERVER}
    before = known(fleets=[FLEET], runs=[run], awaits=waiting)
    first = joined(before)
    after = joined(type(before)(before.fleets, before.instances, before.runs), first)
    assert [each.ready for each in first.snapshot.replicas.values()] == [False]
    assert [each.ready for each in after.snapshot.replicas.values()] == [True]
