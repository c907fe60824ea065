"""A service that serves nothing is a problem at once, even where each of its parts has time."""

from __future__ import annotations

import pytest

from dstack_api_client.analysis.health import HealthState, service_healths
from dstack_api_client.model.replica import Attempt, Replica
from dstack_api_client.problems.model import Impact, Severity
from dstack_api_client.problems.watch import ProblemWatch, problems_of
from tests.builders.projects import NOW, ago, chat, event, group, replica, router, worker

LOST = Attempt(ago(hours=5), "instance_unreachable", "", ago(minutes=2), 0)
SCALED = Attempt(ago(hours=5), "scaled_down", "", ago(hours=1), 0)
ROUTED = [group("0"), group("router", router="smg")]


def again(number: int = 0, status: str = "pulling", **changes: object) -> Replica:
    """A replica that was lost two minutes ago and starts again."""
    about = {"submitted_at": ago(minutes=1), "submission_num": 1, "earlier": (LOST,)}
    return replica(number, "gpu", status, **{"ready": False, **about, **changes})


def test_the_only_replica_was_lost_once_and_starts_again() -> None:
    (found,) = problems_of(chat(again()), NOW)
    assert (found.subject, found.severity) == ("chat", Severity.CRITICAL)
    assert found.text == "no replica takes requests (0: pulling)"
    assert found.hint == "dstack has started it again; it serves once a replica is ready."
    assert (found.impact, found.since) == (Impact.SERVES_NOTHING, ago(minutes=2))
    assert (found.view, found.row) == ("replicas", "0.0")


def test_each_state_is_told_once() -> None:
    (found,) = problems_of(chat(again(), again(1, "provisioning"), again(2)), NOW)
    assert found.text == "no replica takes requests (0, 2: pulling; 1: provisioning)"


@pytest.mark.parametrize(
    "replicas",
    [
        [again(), replica(1)],
        [replica(0, "gpu", "pulling", ready=False, submitted_at=ago(minutes=1))],
        [again(earlier=(SCALED,))],
    ],
    ids=["another serves", "it came from zero", "it came from zero again"],
)
def test_it_serves_or_starts(replicas: list[Replica]) -> None:
    assert problems_of(chat(*replicas), NOW) == ()


def test_its_router_was_replaced() -> None:
    routing = again(1, group="router", is_router=True)
    (found,) = problems_of(chat(replica(0), routing, groups=ROUTED), NOW)
    assert found.text == "no replica takes requests (router 1: pulling)"


def test_another_problem_says_it() -> None:
    late = again(submitted_at=ago(minutes=20))
    (found,) = problems_of(chat(late), NOW)
    assert found.key == "replica:s-chat:starting"
    (found,) = problems_of(chat(again(cut_off=True)), NOW)
    assert found.key == "replica:s-chat:cut off"


def test_a_router_that_lists_no_worker_has_its_time() -> None:
    late = chat(replica(0), routers=[router(worker(0, router_health="pending"))])
    assert problems_of(late, NOW) == ()


def test_it_goes_once_a_replica_is_ready() -> None:
    watch = ProblemWatch()
    events = [event("Service replica ready to receive requests", ago(minutes=2), "job", "j-chat-0")]
    assert len(watch.look(chat(again()), NOW, events)) == 1
    assert watch.look(chat(again(status="running", ready=True)), NOW, events) == ()


def test_whatever_is_down_has_a_problem() -> None:
    states = ["pulling", "provisioning", "submitted", "running", "failed", "terminating"]
    for status in states:
        for changes in ({}, {"earlier": (), "submission_num": 0}):
            snapshot = chat(again(status=status, **changes))
            (health,) = service_healths(snapshot).values()
            if health.state is HealthState.DOWN:
                assert problems_of(snapshot, NOW), (status, changes)
