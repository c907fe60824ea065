"""Replicas that drain: their state, their worker, what is waited for, and what went wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from dstack_api_client.analysis.moment import Moment
from dstack_api_client.analysis.since import since_of
from dstack_api_client.model.placement import Drain, Placement
from dstack_api_client.model.router import Sync, Worker
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.drains import drains_cut
from dstack_api_client.problems.watch import problems_of
from dstack_api_client.routers.expected import Expected
from dstack_api_client.transport.placement import _placement
from dstack_api_client.transport.wire_addon import Placement as Answer
from dstack_fleets_tui.headless.kinds import replicas
from dstack_fleets_tui.tables.looks import Looks
from tests.builders.projects import event
from tests.builders.router_cases import entry, judged, look, worker
from tests.builders.snapshots import NOW, replica, service, snapshot

STOPS = replica("chat", 3, status="terminating", ready=False, termination_reason="scaled_down")


def only(expected: Expected, *entries: dict[str, Any]) -> Worker:
    """The one row that comes of one worker and some entries."""
    (row,) = judged([expected], look(*entries)).view.workers
    return row


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def drain(open_requests: int | None = 3, job: str = STOPS.submission_id) -> Drain:
    return Drain(job, ago(41), 60, open_requests)


def drained(*drains: Drain) -> Snapshot:
    """A service with a replica that is there to stay and one that stops."""
    placement = Placement("s-chat", False, NOW, {}, {}, (), (), (), draining=drains)
    both = [replica("chat", 0), STOPS]
    chat = service("chat", replica_keys=tuple(each.key for each in both))
    found = snapshot(services=[chat], replicas=both)
    return replace(found, placements={"s-chat": placement})


@pytest.mark.parametrize(
    ("open_requests", "told"),
    [(3, "draining 41 s, 3 open"), (0, "draining 41 s, 0 open"), (None, "draining 41 s")],
)
def test_a_replica_that_drains_says_for_how_long_and_with_how_many_requests(
    open_requests: int | None, told: str
) -> None:
    seen = drained(drain(open_requests))
    found = seen.drain_of(STOPS)
    assert found is not None
    assert found.told(NOW) == told
    assert told in replicas.cells(STOPS, seen)
    assert replicas.item(STOPS, seen)["drain"] == {
        "since": "2026-03-14T14:01:50.000Z",
        "limit_seconds": 60,
        "open_requests": open_requests,
    }
    assert Looks(NOW).state("terminating", told).text.endswith(told)


def test_only_what_stops_drains() -> None:
    seen = drained(drain(job=replica("chat", 0).submission_id))
    assert seen.drain_of(replica("chat", 0)) is None
    assert seen.drain_of(STOPS) is None
    assert "terminating" in replicas.cells(STOPS, seen)
    assert replicas.item(STOPS, seen)["drain"] is None


def test_the_add_on_tells_of_drains_and_an_older_one_of_none() -> None:
    told = {"run_id": "s-chat", "observed_at": NOW, "managed": False}
    draining = {"job_id": "j", "since": ago(41), "limit": 60, "open": None, "in_rotation": True}
    answer = msgspec.convert({**told, "draining": [draining]}, Answer)
    assert _placement(answer).draining == (Drain("j", ago(41), 60, None),)
    assert _placement(msgspec.convert(told, Answer)).draining == ()


def test_a_worker_that_drains_is_shown_so_in_the_list_and_out_of_it() -> None:
    stops = worker(1, job_status="terminating", drain=drain())
    for status in ("ready", "draining"):
        listed = only(stops, entry(1, status=status))
        assert (listed.sync, listed.router_health) == (Sync.DRAINING, status)
        assert "has been asked to drop it; dstack ends it after 60 s at most." in listed.message
        assert listed.replica == stops.key
    out = only(stops)
    assert (out.sync, out.router_health) == (Sync.DRAINING, None)
    assert ", 3 open. It is out of the router's list" in out.message
    assert out.wrong == listed.wrong < only(worker(1), entry(1, status="draining")).wrong


def test_a_drain_that_ran_into_its_limit_is_a_problem_for_an_hour() -> None:
    lines = {
        "Replica 1 stopped with 1 request open after 60 s": 90 * 60,
        "Replica 2 stopped with 2 requests open after 60 s": 300,
        "Replica 3 drained in 41 s": 60,
        "Replica 4 stopped after 30 s: how many of its requests were open is not known": 60,
    }
    seen = drained()
    since = since_of([event(line, ago(age), "run", "s-chat") for line, age in lines.items()])
    (found,) = drains_cut(service("chat"), Moment(NOW), since)
    assert found.text == "replica 2 stopped with 2 requests open after 60 s"
    assert found.since == ago(300)
    since.learn([event("Replica 5 stopped with 9 requests open after 5 s", NOW, "run", "s-chat")])
    (found,) = drains_cut(service("chat"), Moment(NOW), since)
    assert found.text == (
        "replica 5 stopped with 9 requests open after 5 s, and 1 more within the hour"
    )
    assert not list(drains_cut(service("other"), Moment(NOW), since))
    since.forget_all_but(replace(seen, services={}))
    assert not since.drain_cuts


def test_a_long_drain_is_no_replica_that_does_not_stop() -> None:
    since = since_of(
        [event("Job status changed RUNNING -> TERMINATING", ago(1200), "job", STOPS.submission_id)]
    )
    seen = drained(drain())
    assert not [each for each in problems_of(seen, NOW, since) if ":stopping" in each.key]
    seen = replace(seen, placements={})
    assert [each for each in problems_of(seen, NOW, since) if ":stopping" in each.key]
