"""How services and fleets are, in one word, and the order of problems that follows from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dstack_api_client.analysis.distribution import distribution_of
from dstack_api_client.analysis.health import (
    FleetRoom,
    Health,
    HealthState,
    desired_of,
    fleet_health,
    fleet_room,
    lost_parts,
    service_healths,
)
from dstack_api_client.analysis.rollout import rollout_of
from dstack_api_client.analysis.since import Since
from dstack_api_client.model.replica import Attempt, Replica
from dstack_api_client.model.router import RouterStatus, RouterView, Sync
from dstack_api_client.model.service import Group, Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Impact, Kind
from dstack_api_client.problems.watch import problems_of
from dstack_fleets_tui.headless.kinds.services import Known, cells
from tests.builders.problem_cases import NO_PLACE
from tests.builders.projects import (
    NOW,
    ago,
    fleet,
    group,
    instances,
    lane,
    placement,
    project,
    replica,
    router,
    service,
    worker,
)

ROUTES = replica(9, group="router", is_router=True)
ROUTED = [group("0", 2), group("router", router="smg")]


def health(found: Service, replicas: list[Replica], **there: Any) -> Health | None:
    """How the one service of a project is."""
    return service_healths(project((found, replicas), **there)).get(found.id)


def of(
    replicas: list[Replica], groups: list[Group] | None = None, view: RouterView | None = None,
    /, **changes: Any,
) -> str:  # fmt: skip
    found = health(
        service(replicas, groups, **changes), replicas, routers=[view] if view is not None else ()
    )
    return str(found)


class TestServices:
    """What users feel of a service."""

    def test_all_replicas_are_ready(self) -> None:
        assert of([replica(0), replica(1)]) == "OK"

    def test_some_are_not(self) -> None:
        assert of([replica(0), replica(1, ready=False)]) == "DEGRADED 1/2"

    def test_a_minimum_counts_though_nothing_was_submitted(self) -> None:
        assert of([replica(0)], [group("0", 3)]) == "DEGRADED 1/3"

    def test_none_is(self) -> None:
        assert of([replica(0, ready=False)]) == "DOWN"

    def test_none_is_desired(self) -> None:
        assert of([], [group("0", 0, 4)]) == "OK"

    def test_a_replica_of_an_instance_that_can_not_be_reached_serves_nothing(self) -> None:
        replicas = [replica(0), replica(1)]
        hosts = instances("gpu", "busy", "busy")
        lost = [hosts[0], replace(hosts[1], unreachable=True)]
        assert str(health(service(replicas), replicas, hosts=lost)) == "DEGRADED 1/2"
        assert of([replica(0), replica(1, cut_off=True)]) == "DEGRADED 1/2", "as soon as it is cut"

    @pytest.mark.parametrize("by_host", [True, False], ids=["host", "replica"])
    def test_one_that_can_not_be_reached_is_nowhere_counted_as_ready(self, by_host: bool) -> None:
        groups = [
            replace(group("firm", 2), reservation="cr-1"),
            replace(group("more", 1), spot_policy="spot"),
        ]
        replicas = [
            replica(0, group="firm"),
            replica(1, group="firm", cut_off=not by_host),
            replica(2, group="more"),
        ]
        hosts = instances("gpu", *["busy"] * 3)
        hosts[1] = replace(hosts[1], unreachable=by_host, jobs=(replicas[1].key,))
        chat = service(replicas, groups)
        shot = project((chat, replicas), fleets=[fleet("gpu")], hosts=hosts)
        found = distribution_of(shot, chat)
        assert (found.running, found.ready, found.serving) == (3, 3, 2)
        assert [row.serving for row in found.rows] == [2]
        assert found.rows[0].groups["firm"].serving == 1
        assert [each.serving for each in found.by_group] == [1, 1]
        assert [each.serving for each in rollout_of(shot, chat).deployments] == [2]
        assert cells(Known(chat, None), shot)[6] == "2", "get services"
        firm = "baseline 1 of 2 (on-demand, reservation cr-1): firm 1: the server can't reach it"
        lost = [each.text for each in problems_of(shot, NOW) if each.kind is Kind.BASELINE]
        assert lost == ([] if by_host else [firm]), "of the host a problem tells"

    def test_the_extra_replica_of_a_rollout_is_not_missed(self) -> None:
        replicas = [replica(0), replica(1), replica(2, deployment_num=1, ready=False)]
        assert of(replicas, [group("0", 1, 4)], deployment_num=1) == "OK"

    def test_nor_is_one_that_a_move_starts_first(self) -> None:
        replicas = [replica(0), replica(1), replica(2, ready=False)]
        assert of(replicas, [group("0", 2)]) == "OK"

    def test_the_add_on_knows_how_many_are_desired(self) -> None:
        replicas = [replica(0), replica(1)]
        told = placement(lane("gpu"), desired={"0": 3})
        found = service(replicas, [group("0", 1, 4)])
        assert str(health(found, replicas, placements=[told])) == "DEGRADED 2/3"

    @pytest.mark.parametrize(
        ("changes", "state"),
        [
            ({"status": "failed", "ended_at": ago(hours=2)}, HealthState.DOWN),
            ({"status": "failed", "ended_at": ago(hours=30)}, None),
            ({"status": "terminated", "ended_at": ago(hours=2)}, None),
            ({"jobs_known": False}, None),
            (
                {"status": "pending", "spec": {"configuration": {"schedule": {"cron": "0 8 * *"}}}},
                None,
            ),
        ],
    )
    def test_one_that_does_not_run(
        self, changes: dict[str, Any], state: HealthState | None
    ) -> None:
        found = health(service([], [group("0", 2)], **changes), [])
        assert (found.state if found else None) is state

    @pytest.mark.parametrize(
        ("reason", "state"),
        [("job_failed", "DOWN"), ("retry_limit_exceeded", "DOWN"), ("stopped_by_user", "None")],
    )
    @pytest.mark.parametrize("least", [2, 4])
    def test_one_that_is_ending(self, least: int, reason: str, state: str) -> None:
        # Its replicas still take requests for some seconds; it has lanes as before.
        replicas = [replica(0), replica(1), replica(2, ready=False)]
        ends = service(
            replicas,
            [group("0", least, 6)],
            status="terminating",
            termination_reason=reason,
            submitted_at=ago(minutes=1),
        )
        told = placement(lane("gpu"), desired={"0": 3})
        assert str(health(ends, replicas, placements=[told])) == state
        shot = project((ends, replicas), placements=[told])
        assert desired_of(shot, ends) == 0
        row = cells(Known(ends, None), shot)
        assert row[4] == f"0 of {least}..6, 3 to stop", "get services"

    @pytest.mark.parametrize("status", ["terminating", "terminated"])
    def test_one_that_is_ending_or_has_ended_loses_no_part(self, status: str) -> None:
        parts = [replace(group(role), role=role) for role in ("prefill", "decode")]
        left = [replica(0, group="prefill")]
        runs = service(left, parts)
        assert lost_parts(project((runs, left)), runs) == ("decode",)
        ends = replace(runs, status=status)
        assert lost_parts(project((ends, left)), ends) == ()

    def test_none_is_desired_of_one_that_waits_for_its_time(self) -> None:
        timed = {"configuration": {"schedule": {"cron": "0 3 * * *"}}}
        waits = service([], [group("0", 2)], status="pending", spec=timed)
        assert desired_of(project((waits, [])), waits) == 0
        runs = replace(waits, status="submitted")
        assert desired_of(project((runs, [])), runs) == 2

    def test_one_that_failed_and_runs_again_is_told_of_once(self) -> None:
        failed = service([], [group()], id="s-old", status="failed", ended_at=ago(hours=1))
        again = service([replica(0)])
        assert set(service_healths(project((failed, []), (again, [replica(0)])))) == {again.id}


class TestFirstStart:
    """One that has served nothing yet is no outage, for a while."""

    NEW = {"submitted_at": ago(minutes=2)}

    def test_it_starts(self) -> None:
        assert of([replica(0, ready=False)], None, **self.NEW) == "STARTING"

    def test_it_has_started_for_too_long(self) -> None:
        assert of([replica(0, ready=False)], submitted_at=ago(minutes=16)) == "DOWN"

    def test_it_was_at_zero_for_long(self) -> None:
        young = replica(0, ready=False, submitted_at=ago(minutes=3))
        assert of([young], submitted_at=ago(hours=9)) == "STARTING"
        old = replica(1, ready=False, submitted_at=ago(minutes=16))
        assert of([young, old], submitted_at=ago(hours=9)) == "DOWN"

    def test_it_was_started_again(self) -> None:
        assert of([replica(0, ready=False, submission_num=1)], **self.NEW) == "DOWN"

    def test_it_had_to_look_for_a_place(self) -> None:
        sought = Attempt(ago(minutes=40), NO_PLACE, "No H100.")
        again = {"earlier": (sought,), "submission_num": 1, "ready": False}
        old = {"submitted_at": ago(minutes=40)}
        loads = replica(0, submitted_at=ago(minutes=3), **again)
        assert of([loads], **old) == "STARTING", "from the time at which it has one"
        assert of([replace(loads, submitted_at=ago(minutes=16))], **old) == "DOWN"
        assert of([replace(loads, status="submitted")], **self.NEW) == "DOWN", "it still looks"

    def test_it_took_requests_before(self) -> None:
        one = replica(0, ready=False)
        found = project((service([one], **self.NEW), [one]))
        since = Since(ready={one.submission_id: ago(minutes=1)})
        assert service_healths(found, since)["s-chat"].state is HealthState.DOWN

    @pytest.mark.parametrize(
        ("before", "state"),
        [
            ((9,), HealthState.STARTING),
            ((9, 0), HealthState.STARTING),
            ((9, 0, 1), HealthState.DOWN),
        ],
        ids=["its router", "prefill too", "all parts"],
    )
    def test_parts_come_one_after_the_other(
        self, before: tuple[int, ...], state: HealthState
    ) -> None:
        parts = ("prefill", "decode")
        groups = [replace(group(name), role=name) for name in parts]
        workers = [
            replica(num, group=name, role=name, ready=False) for num, name in enumerate(parts)
        ]
        replicas = [*workers, ROUTES]
        starts = service(replicas, [*groups, group("router", router="smg")], **self.NEW)
        at = ago(minutes=1)
        ready = {each.submission_id: at for each in replicas if each.key.replica_num in before}
        found = service_healths(project((starts, replicas)), Since(ready=ready))
        assert found[starts.id].state is state


class TestRouted:
    """A service whose requests pass a router."""

    WORKS = [replica(0), replica(1), ROUTES]

    def test_all_is_well(self) -> None:
        assert of(self.WORKS, ROUTED, router(worker(0), worker(1))) == "OK"

    @pytest.mark.parametrize(
        ("status", "told"),
        [
            (RouterStatus.DOWN, "DOWN"),
            (RouterStatus.NOT_READY, "DOWN"),
            (RouterStatus.REFUSES, "OK"),
            (RouterStatus.UNKNOWN, "OK"),
            (RouterStatus.NOT_MANAGED, "OK"),
        ],
    )
    def test_its_router(self, status: RouterStatus, told: str) -> None:
        assert of(self.WORKS, ROUTED, router(worker(0), worker(1), status=status)) == told

    def test_without_a_router_nothing_is_passed_on(self) -> None:
        waits = replace(ROUTES, ready=False)
        assert of([replica(0), replica(1), waits], ROUTED) == "DOWN"

    def test_a_worker_that_the_router_calls_failed_serves_nothing(self) -> None:
        view = router(worker(0), worker(1, router_health="failed", wrong=100))
        assert of(self.WORKS, ROUTED, view) == "DEGRADED 2/3"

    def test_so_does_one_that_is_not_listed(self) -> None:
        view = router(worker(0), worker(1, Sync.MISSING, router_health=None, wrong=80))
        assert of(self.WORKS, ROUTED, view) == "DEGRADED 2/3"

    def test_so_does_one_that_it_dials_at_another_address(self) -> None:
        view = router(worker(0), worker(1, Sync.DRIFT, wrong=70))
        assert of(self.WORKS, ROUTED, view) == "DEGRADED 2/3"

    def test_without_any_worker_of_a_part_every_request_fails(self) -> None:
        groups = [replace(group(name), role=name) for name in ("prefill", "decode")]
        replicas = [
            replica(0, group="prefill", role="prefill"),
            replica(1, "gpu", "submitted", group="decode", role="decode", submission_num=1),
            ROUTES,
        ]
        assert of(replicas, [*groups, group("router", router="smg")]) == "DOWN"

    def test_so_it_does_while_the_only_one_of_a_part_can_not_be_reached(self) -> None:
        replicas = [
            replica(0, group="prefill", role="prefill"),
            replica(1, group="decode", role="decode"),
            ROUTES,
        ]
        groups = [replace(group(name), role=name) for name in ("prefill", "decode")]
        found = service(replicas, [*groups, group("router", router="smg")])
        hosts = list(instances("gpu", "busy", "busy"))
        assert str(health(found, replicas, hosts=hosts)) == "OK"
        hosts[0] = replace(hosts[0], unreachable=True, jobs=(replicas[0].key,))
        assert str(health(found, replicas, hosts=hosts)) == "DOWN"
        (problem,) = [
            each
            for each in problems_of(project((found, replicas), hosts=hosts), NOW)
            if each.kind is Kind.INSTANCE
        ]
        assert problem.text.endswith(
            "no prefill worker of chat can be reached: every request fails"
        )


class TestFleets:
    """What of a fleet can be used, and what is left of it."""

    @pytest.mark.parametrize(
        ("lost", "told"),
        [
            ({}, "OK"),
            ({"health": "warning"}, "OK"),
            ({"health": "failure"}, "DEGRADED 1/2"),
            ({"unreachable": True}, "DEGRADED 1/2"),
        ],
    )
    def test_one_of_two_instances(self, lost: dict[str, Any], told: str) -> None:
        assert str(fleet_health(*self._fleet(instances("gpu", "busy"), lost))) == told

    def test_its_only_instance(self) -> None:
        assert str(fleet_health(*self._fleet([], {"unreachable": True}))) == "DOWN"

    def test_an_empty_one_is_well_unless_it_failed(self) -> None:
        empty = fleet("gpu", instance_ids=())
        assert str(fleet_health(project(fleets=[empty]), empty)) == "OK"
        failed = replace(empty, status="failed")
        assert str(fleet_health(project(fleets=[failed]), failed)) == "DOWN"

    @pytest.mark.parametrize(
        ("states", "changes", "room"),
        [
            (["busy", "idle", "idle"], {}, FleetRoom(2, 0, 1)),
            (["busy", "terminating"], {}, FleetRoom(0, 0, 3)),
            (["busy"] * 5, {}, FleetRoom(0, 0, 0)),
            ([], {"nodes_max": None}, FleetRoom(0, 0, None)),
            (["idle"], {"kind": "ssh"}, FleetRoom(1, 0, 0)),
            (["idle"], {"status": "terminating"}, FleetRoom(1, 0, 0)),
        ],
    )
    def test_room(self, states: list[str], changes: dict[str, Any], room: FleetRoom) -> None:
        assert self._room(instances("gpu", *states), **changes) == room

    def test_blocks_that_are_free_beside_what_runs_are_room(self) -> None:
        assert self._room(instances("gpu", "busy", total_blocks=8, busy_blocks=3)).blocks == 5

    def test_an_idle_instance_that_can_not_be_reached_is_none(self) -> None:
        assert self._room(instances("gpu", "idle", unreachable=True)).idle == 0

    @staticmethod
    def _room(hosts: list[Any], **changes: Any) -> FleetRoom:
        found = fleet("gpu", instance_ids=tuple(each.id for each in hosts), **changes)
        return fleet_room(project(fleets=[found], hosts=hosts), found)

    @staticmethod
    def _fleet(well: list[Any], lost: dict[str, Any]) -> tuple[Snapshot, Any]:
        odd = replace(instances("gpu", "busy")[0], id="i-odd", num=7, **lost)
        here = [*well, odd]
        found = fleet("gpu", instance_ids=tuple(each.id for each in here))
        return project(fleets=[found], hosts=here), found


class TestOrder:
    """Problems stand in the order in which users feel them."""

    def test_an_outage_stands_above_a_promise_with_all_ready(self) -> None:
        """Both are critical, and the promise has been broken for longer."""
        well = [replica(0), replica(1)]
        broken = placement(
            lane("gpu", min_replicas=2, deficit=1, deficit_since=ago(hours=5)), desired={"0": 2}
        )
        down = [replica(0, ready=False, service="voice")]
        found = problems_of(
            project(
                (service(well), well), (service(down, name="voice"), down), placements=[broken]
            ),
            NOW,
        )
        assert [(each.subject, each.impact) for each in found] == [
            ("voice", Impact.SERVES_NOTHING),
            ("chat", Impact.PROMISE),
        ]

    def test_an_instance_names_the_services_on_it_the_worst_first(self) -> None:
        chat, voice = [replica(0), replica(1)], [replica(0, service="voice")]
        host = replace(
            instances("gpu", "busy", unreachable=True)[0], jobs=(chat[0].key, voice[0].key)
        )
        on_it = [replace(voice[0], instance_id=host.id)]
        snapshot = project(
            (service(chat), chat), (service(on_it, name="voice"), on_it),
            fleets=[fleet("gpu")], hosts=[host],
        )  # fmt: skip
        (found,) = (each for each in problems_of(snapshot, NOW) if each.kind is Kind.INSTANCE)
        assert [(each.name, str(each.health)) for each in found.affects] == [
            ("voice", "DOWN"),
            ("chat", "DEGRADED 1/2"),
        ]
        assert found.impact is Impact.SERVES_NOTHING
