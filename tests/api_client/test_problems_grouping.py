"""One cause is one problem, and what costs without use is counted once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dstack_api_client.model.replica import NO_CAPACITY, Attempt, Replica
from dstack_api_client.model.router import RouterStatus, Sync
from dstack_api_client.problems.watch import Kind, Severity, problems_of
from tests.builders.projects import (
    NOW,
    ago,
    chat,
    fleet,
    fleet_of,
    group,
    instances,
    lane,
    placed,
    placement,
    project,
    replica,
    router,
    service,
    stuck,
    worker,
)

CRITICAL = Severity.CRITICAL
READY = replica(0)
IDLE = {"idle_since": ago(minutes=30)}


class TestOneCauseOneProblem:
    """What one thing explains is told once."""

    def test_replicas_on_a_host_that_can_not_be_reached(self) -> None:
        replicas = [
            stuck(num, "running", instance_id=f"i-gpu-{num}", hostname="h") for num in range(2)
        ]
        routing = replica(2, group="router", is_router=True)
        hosts = [
            replace(each, jobs=(replicas[num].key,) if num < 2 else (routing.key,))
            for num, each in enumerate(instances("gpu", *["busy"] * 3, unreachable=True))
        ]
        snapshot = chat(
            *replicas,
            routing,
            groups=[group("0", 2), group("router", router="smg")],
            fleets=[fleet("gpu")],
            hosts=hosts,
            routers=[
                router(
                    worker(0, router_health="failed", wrong=100),
                    worker(1, Sync.MISSING, wrong=80),
                    status=RouterStatus.DOWN,
                )
            ],
        )
        (found,) = problems_of(snapshot, NOW)
        assert found.severity is CRITICAL
        assert found.text == (
            "3 of 3 instances unreachable: 0, 1, 2; on them: chat 0, chat 1, chat router 2"
        )

    def test_instances_of_one_fleet_stand_together_and_those_of_another_apart(self) -> None:
        hosts = [
            *instances("a", *["idle"] * 7, unreachable=True),
            *instances("b", "idle", unreachable=True, health="failure"),
        ]
        snapshot = project(fleets=[fleet("a", kind="ssh"), fleet("b", kind="ssh")], hosts=hosts)
        assert [(each.subject, each.text) for each in problems_of(snapshot, NOW)] == [
            ("a", "7 of 7 instances unreachable: 0, 1, 2 and 4 more"),
            ("b/0", "unreachable"),
        ]

    def test_replicas_that_lack_the_same_stand_together(self) -> None:
        waiting = [stuck(num, "submitted", status_message="no capacity") for num in range(1, 6)]
        other = stuck(6, "submitted", status_message="quota")
        (found,) = problems_of(chat(READY, *waiting, other), NOW)
        assert found.text == "1, 2, 3 and 3 more: no place yet: no capacity (5 of them)"
        assert found.row == "1.0"

    @pytest.mark.parametrize(
        ("message", "said"),
        [
            (None, "no capacity"),
            ("Fleet is at capacity", "no capacity (Fleet is at capacity)"),
            ("No matching fleet found.", "no fleets (No matching fleet found)"),
            ("No spot capacity in us-east-1", "No spot capacity in us-east-1"),
        ],
    )
    def test_one_cause_has_one_wording_at_each_stage(self, message: str | None, said: str) -> None:
        ended = {"termination_reason": NO_CAPACITY, "termination_message": message}
        before = Attempt(ago(minutes=9), NO_CAPACITY, message or "")
        waiting = [
            stuck(1, "terminating", status_message="terminating", **ended),
            stuck(2, "failed", status_message="no capacity", **ended),
            stuck(3, "submitted", status_message="submitted", submission_num=1, earlier=(before,)),
        ]
        (found,) = problems_of(chat(READY, *waiting, low=4), NOW)
        assert found.text == f"1, 2, 3: no place yet: {said}"

    def test_a_cause_that_is_told_goes_before_none(self) -> None:
        waiting = [stuck(num, "submitted") for num in range(1, 4)]
        told = stuck(4, "submitted", status_message="no capacity")
        (found,) = problems_of(chat(READY, *waiting, told), NOW)
        assert found.text == "1, 2, 3 and 1 more: no place yet: no capacity (1 of them)"

    def test_a_failed_worker_is_told_by_its_router_alone(self) -> None:
        snapshot = chat(
            READY,
            stuck(1, "running"),
            routers=[router(worker(0), worker(1, router_health="failed", wrong=100))],
        )
        assert [each.kind for each in problems_of(snapshot, NOW)] == [Kind.WORKER]

    def test_a_worker_that_does_not_serve_is_told_by_its_replica_alone(self) -> None:
        snapshot = chat(
            READY,
            stuck(1, "running"),
            routers=[router(worker(0), worker(1, Sync.MISSING, router_health=None, wrong=80))],
        )
        assert [each.kind for each in problems_of(snapshot, NOW)] == [Kind.REPLICA]

    def test_a_router_that_is_down_speaks_for_its_replica(self) -> None:
        snapshot = chat(
            READY,
            stuck(1, "submitted", is_router=True, group="router", submission_num=1),
            groups=[group("0"), group("router", router="smg")],
            routers=[router(worker(0), status=RouterStatus.DOWN)],
        )
        assert [each.kind for each in problems_of(snapshot, NOW)] == [Kind.ROUTER]

    def test_a_router_without_workers_on_account_of_their_host(self) -> None:
        hosts = instances("gpu", "busy", unreachable=True, jobs=(READY.key,))
        failed = worker(0, router_health="failed", wrong=100)
        snapshot = chat(
            READY, fleets=[fleet("gpu")], hosts=hosts, routers=[router(failed, status=NOT_READY)]
        )
        assert [each.kind for each in problems_of(snapshot, NOW)] == [Kind.INSTANCE]

    def test_a_stuck_rollout_speaks_for_the_replica_that_holds_it_up(self) -> None:
        snapshot = chat(READY, stuck(1, "submitted", deployment_num=1), deployment_num=1)
        assert [each.kind for each in problems_of(snapshot, NOW)] == [Kind.ROLLOUT]

    def test_groups_roll_out_for_themselves(self) -> None:
        snapshot = chat(
            replica(0, group="a"),
            replica(1, group="b"),
            stuck(2, "pulling", group="a", deployment_num=1),
            replica(3, group="b", deployment_num=1, submitted_at=ago(minutes=1)),
            groups=[group("a"), group("b")],
            deployment_num=1,
        )
        (found,) = problems_of(snapshot, NOW)
        assert found.text == "rollout of a stuck at 2 of 4: a 2 is not ready: pulling"

    def test_a_failed_service_that_runs_again_is_none(self) -> None:
        failed = [stuck(0, "failed", finished_at=ago(hours=1))]
        again = [replica(0, service="chat")]
        old = service(failed, status="failed", id="s-old")
        assert problems_of(project((old, failed)), NOW)
        assert not problems_of(project((old, failed), (service(again), again)), NOW)

    def test_a_replica_that_failed_and_is_not_needed_is_none(self) -> None:
        assert problems_of(chat(READY, stuck(1, "failed"), low=1), NOW) == ()


class TestWithoutPlacesToStart:
    """Why a replica waits, in the add-on's words where it has some."""

    def test_the_addon_knows_why(self) -> None:
        snapshot = chat(
            READY,
            stuck(1, "submitted"),
            placements=[
                placement(
                    lane("a"), replicas=[placed(1, None, None, "a cools down until 14:05:30")]
                )
            ],
        )
        (found,) = problems_of(snapshot, NOW)
        assert found.text == "1: no place yet: a cools down until 14:05:30"


DOWN, NOT_READY = RouterStatus.DOWN, RouterStatus.NOT_READY
ROUTED = {"groups": [group("0"), group("router", router="smg")]}
UNSEEN = worker(0, Sync.MISSING, router_health=None, wrong=80)


def young(num: int, status: str = "running", **changes: object) -> Replica:
    """A replica that was submitted half a minute ago."""
    ready = changes.pop("ready", False)
    return replica(
        num, "gpu", status, **{"submitted_at": ago(seconds=30), "ready": ready, **changes}
    )


class TestStarts:
    """What looks wrong while things start is no problem yet."""

    @pytest.mark.parametrize(
        ("routing", "problems"),
        [
            (young(1, "pulling"), 0),
            (young(1), 0),
            (replica(1), 1),
            (young(1, "pulling", submission_num=1), 1),
            (stuck(1, "failed"), 1),
        ],
    )
    def test_a_router(self, routing: Replica, problems: int) -> None:
        routing = replace(routing, is_router=True, group="router")
        new = {"submitted_at": ago(minutes=2), **ROUTED}
        snapshot = chat(READY, routing, routers=[router(worker(0), status=DOWN)], **new)
        assert len(problems_of(snapshot, NOW)) == problems

    def test_a_router_whose_replica_is_not_there_yet(self) -> None:
        new = chat(submitted_at=ago(seconds=50), routers=[router(status=DOWN)], **ROUTED)
        old = chat(submitted_at=ago(seconds=70), routers=[router(status=DOWN)], **ROUTED)
        assert problems_of(new, NOW) == ()
        assert [each.kind for each in problems_of(old, NOW)] == [Kind.ROUTER]

    @pytest.mark.parametrize(("first", "problems"), [(young(0), 0), (READY, 1)])
    def test_a_router_whose_workers_load_their_model(self, first: Replica, problems: int) -> None:
        snapshot = chat(first, routers=[router(UNSEEN, status=NOT_READY)])
        assert len(problems_of(snapshot, NOW)) == problems

    def test_a_router_whose_replica_was_not_read_yet(self) -> None:
        snapshot = chat(jobs_known=False, routers=[router(status=DOWN)], **ROUTED)
        assert problems_of(snapshot, NOW) == ()

    def test_a_router_without_workers_to_have(self) -> None:
        assert problems_of(chat(READY, routers=[router(status=NOT_READY)]), NOW) == ()

    @pytest.mark.parametrize(
        ("passed", "first", "problems"),
        [
            (None, young(0), 0),
            (False, young(0), 0),
            (True, young(0, ready=True), 1),
            (None, READY, 1),
        ],
    )
    def test_a_worker_that_is_not_listed(
        self, passed: bool | None, first: Replica, problems: int
    ) -> None:
        missing = replace(UNSEEN, probes_passed=passed)
        snapshot = chat(first, routers=[router(worker(1), missing)])
        assert len(problems_of(snapshot, NOW)) == problems


def test_what_is_being_stopped_is_no_problem() -> None:
    snapshot = chat(
        stuck(0, "running"),
        stuck(1, "failed"),
        stuck(2, "pulling", deployment_num=1),
        low=3,
        status="terminating",
        deployment_num=1,
        placements=[placement(lane("a", min_replicas=1, deficit=1), desired={"0": 3})],
        routers=[router(worker(0, router_health="failed", wrong=100), status=DOWN)],
    )
    assert problems_of(snapshot, NOW) == ()
    alive = replace(snapshot.services["s-chat"], status="running")
    assert problems_of(replace(snapshot, services={"s-chat": alive}), NOW)


class TestIdle:
    """What costs without use."""

    @pytest.mark.parametrize(
        ("states", "least", "price"),
        [
            (["idle", "idle", "busy"], 0, 20.0),
            (["idle", "idle", "busy"], 2, 10.0),
            (["idle", "idle", "busy"], 3, None),
            (["idle", "provisioning"], 1, 10.0),
            (["idle", "terminating"], 1, None),
        ],
    )
    def test_only_what_is_above_the_minimum_counts(
        self, states: list[str], least: int, price: float | None
    ) -> None:
        snapshot = fleet_of(
            *states, changes={"nodes_min": least}, price=10.0, created_at=ago(minutes=1), **IDLE
        )
        assert [each.price for each in problems_of(snapshot, NOW)] == ([price] if price else [])

    def test_those_that_idle_longest_are_meant(self) -> None:
        hosts = [
            replace(each, idle_since=ago(minutes=10 * num + 10), price=10.0 * (num + 1))
            for num, each in enumerate(instances("gpu", "idle", "idle", "idle"))
        ]
        snapshot = project(fleets=[fleet("gpu", nodes_min=1)], hosts=hosts)
        (found,) = problems_of(snapshot, NOW)
        assert (found.price, found.since, found.row) == (50.0, ago(minutes=30), "i-gpu-2")

    @pytest.mark.parametrize(
        ("duration", "words"),
        [("off", "until somebody deletes them"), ("1h", "idle for 1h"), (None, "idle for 3d")],
    )
    def test_what_will_become_of_them(self, duration: str | None, words: str) -> None:
        (found,) = problems_of(fleet_of("idle", changes={"idle_duration": duration}, **IDLE), NOW)
        assert words in found.hint

    def test_what_costs_nothing_is_no_waste(self) -> None:
        assert problems_of(fleet_of("idle", price=0.0, **IDLE), NOW) == ()
        assert problems_of(fleet_of("idle", changes={"kind": "ssh"}, **IDLE), NOW) == ()

    def test_an_idle_host_that_can_not_be_reached_is_no_waste(self) -> None:
        found = problems_of(fleet_of("idle", unreachable=True, **IDLE), NOW)
        assert [each.kind for each in found] == [Kind.INSTANCE]
