"""How far rollouts have come, what holds them up, and since when."""

from __future__ import annotations

from datetime import datetime

import pytest

from dstack_api_client.analysis.rollout import EVENTS, SUBMISSIONS, Deployment, Rollout, rollout_of
from dstack_api_client.events.stream import Event
from dstack_api_client.model.replica import Probe, Replica
from dstack_api_client.model.service import Group
from tests.builders.projects import ago, event, group, project, replica, service


def updated(number: int, at: datetime) -> Event:
    return event(f"Run updated. Deployment: {number}. Changed fields: ['env']", at, "run", "s-chat")


def became_ready(num: int, at: datetime) -> Event:
    return event("Service replica ready to receive requests", at, "job", f"j-chat-{num}")


def rolled(
    *replicas: Replica,
    events: tuple[Event, ...] = (),
    number: int = 8,
    groups: list[Group] | None = None,
) -> Rollout:
    one = service(replicas, groups, deployment_num=number)
    return rollout_of(project((one, replicas)), one, events)


OLD = [replica(num, deployment_num=7, submitted_at=ago(days=1)) for num in range(2)]
NEW = replica(2, "gpu", deployment_num=8, submitted_at=ago(minutes=20), ready=False)


def test_deployments_stand_side_by_side_the_latest_first() -> None:
    found = rolled(*OLD, NEW, replica(3, "gpu", "terminating", deployment_num=6))
    assert found.under_way
    assert (found.number, found.at_latest, found.total) == (8, 1, 3)
    assert found.deployments == (
        Deployment(8, 1, 0, 0, 0, ago(minutes=20)),
        Deployment(7, 2, 2, 0, 0, ago(days=1)),
        Deployment(6, 0, 0, 0, 1, ago(hours=1)),
    )


def test_nothing_under_way_is_one_deployment_without_holdups() -> None:
    waiting = replica(0, None, "submitted", deployment_num=8)
    found = rolled(waiting)
    assert not found.under_way
    assert [each.number for each in found.deployments] == [8]
    assert found.holdups == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "2 is not ready: it runs, and probe 1 has 1 of 3 successes in a row"),
        (
            {"probes": (Probe(3, 3), Probe(0, 2))},
            "2 is not ready: it runs, and probe 2 has 0 of 2 successes in a row",
        ),
        ({"probes": ()}, "2 is not ready: it runs"),
        ({"status": "pulling", "status_message": "pulling"}, "2 is not ready: pulling"),
        (
            {"status": "submitted", "status_message": "no capacity"},
            "2 is not ready: submitted: no capacity",
        ),
        (
            {"status": "failed", "termination_message": "out of memory"},
            "2 is not ready: failed: out of memory",
        ),
    ],
)
def test_a_replica_that_does_not_get_ready_holds_up(changes: dict[str, object], words: str) -> None:
    late = replica(2, deployment_num=8, ready=False, **changes)
    found = rolled(*OLD, late)
    assert [(each.text, each.replica) for each in found.holdups] == [(words, late.key)]


def test_a_replica_of_a_named_group_is_told_by_it() -> None:
    found = rolled(
        replica(0, deployment_num=7, group="decode"),
        replica(1, "gpu", "pulling", deployment_num=8, group="decode"),
    )
    assert [each.text for each in found.holdups] == ["decode 1 is not ready: pulling"]


def test_since_when_it_holds_up_is_told_by_its_last_change() -> None:
    changed = event("Job status changed PULLING -> RUNNING", ago(minutes=14), "job", "j-chat-2")
    assert rolled(*OLD, NEW).holdups[0].since == ago(minutes=20)
    assert rolled(*OLD, NEW, events=(changed,)).holdups[0].since == ago(minutes=14)


def test_one_that_takes_long_to_stop_holds_up() -> None:
    stopping = replica(1, "gpu", "terminating", deployment_num=7)
    found = rolled(replica(0, deployment_num=8), stopping)
    assert [each.text for each in found.holdups] == ["1 of deployment 7 is stopping"]
    assert found.holdups[0].since is None


def test_nothing_started_yet_is_told() -> None:
    found = rolled(*OLD, events=(updated(8, ago(minutes=2)),))
    (only,) = found.holdups
    assert only.text == "no replica of deployment 8 was started yet"
    assert (only.replica, only.since) == (None, ago(minutes=2))


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ((2, 4), None),
        ((5, 6), "decode: 3 replicas where at least 5 are desired"),
        ((1, 2), None),  # one more than the maximum is the rollout's own
        ((1, 1), "decode: 3 replicas where at most 1 are desired"),
    ],
)
def test_an_edit_of_the_count_is_frozen_behind_it(
    limits: tuple[int, int], words: str | None
) -> None:
    replicas = [
        *(replica(num, deployment_num=7, group="decode") for num in range(2)),
        replica(2, deployment_num=8, group="decode"),
    ]
    found = rolled(*replicas, groups=[group("decode", *limits)])
    texts = [each.text for each in found.holdups]
    if words is None:
        assert texts == []
    else:
        assert texts == [f"{words}: the group is not scaled until the rollout ends"]


def test_another_group_that_has_rolled_out_is_not_frozen() -> None:
    replicas = [replica(0, deployment_num=7, group="a"), replica(1, deployment_num=8, group="b")]
    found = rolled(*replicas, groups=[group("a", 1), group("b", 4)])
    assert [each.text for each in found.holdups] == [
        "a: no replica of deployment 8 was started yet"
    ]


def test_the_longest_holdup_comes_first() -> None:
    late = replica(3, "gpu", "pulling", deployment_num=8, submitted_at=ago(hours=2))
    found = rolled(*OLD, NEW, late)
    assert [each.replica for each in found.holdups] == [late.key, NEW.key]


class TestHowLong:
    """When a rollout began and ended, and what tells."""

    def test_events_tell_best(self) -> None:
        events = (
            updated(8, ago(minutes=30)),
            updated(7, ago(days=1)),
            became_ready(2, ago(minutes=9)),
        )
        done = replica(2, deployment_num=8, submitted_at=ago(minutes=29))
        found = rolled(done, events=events)
        assert (found.since, found.finished_at) == (ago(minutes=30), ago(minutes=9))
        assert found.source == EVENTS

    def test_it_is_not_finished_while_an_older_one_is_left(self) -> None:
        events = (updated(8, ago(minutes=30)), became_ready(2, ago(minutes=9)))
        done = replica(2, deployment_num=8, submitted_at=ago(minutes=29))
        assert rolled(done, OLD[0], events=events).finished_at is None

    def test_while_it_is_under_way_its_first_replica_tells(self) -> None:
        found = rolled(*OLD, NEW)
        assert (found.since, found.source) == (ago(minutes=20), SUBMISSIONS)

    def test_the_first_deployment_began_with_the_service(self) -> None:
        found = rolled(replica(0), number=0)
        assert (found.since, found.source) == (ago(hours=2), SUBMISSIONS)

    def test_afterwards_nothing_but_events_can_tell(self) -> None:
        """An edit that restarts nothing gives older replicas the new number."""
        found = rolled(replica(0, deployment_num=8, submitted_at=ago(days=9)))
        assert (found.since, found.finished_at, found.source) == (None, None, "")

    def test_replicas_that_only_got_a_new_number_were_ready_all_along(self) -> None:
        kept = replica(0, deployment_num=8, submitted_at=ago(days=9))
        found = rolled(kept, events=(updated(8, ago(minutes=5)),))
        assert (found.since, found.finished_at) == (ago(minutes=5), ago(minutes=5))

    def test_no_end_is_made_up_where_an_event_is_missing(self) -> None:
        new = [replica(num, deployment_num=8, submitted_at=ago(minutes=4)) for num in (0, 1)]
        events = (updated(8, ago(minutes=5)), became_ready(0, ago(minutes=3)))
        assert rolled(*new, events=events).finished_at is None


def test_a_service_that_has_ended_waits_for_nothing() -> None:
    one = service([*OLD, NEW], deployment_num=8, status="failed")
    assert rollout_of(project((one, [*OLD, NEW])), one).holdups == ()
