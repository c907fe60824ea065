"""What an edit would do, what it is warned of, and how far it has come, without a server."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dstack_api_client.edits.base.base import Base
from dstack_api_client.edits.base.difference import difference
from dstack_api_client.edits.base.merging import three_way
from dstack_api_client.edits.errors import InvalidEditError
from dstack_api_client.edits.follow.following import State, progress
from dstack_api_client.edits.offers.prices import PlanOffer
from dstack_api_client.edits.outlook.dryrun import dry_run_here
from dstack_api_client.edits.outlook.outlooks import ReplicaOutlook, Source
from dstack_api_client.edits.outlook.warnings import Risk, is_probed, warnings_of
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.edits.spec.group_roles import labels_in
from dstack_api_client.model.placement import Drain
from dstack_api_client.model.replica import Replica
from dstack_api_client.model.router import Sync
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.transport.wire_preview import Preview
from dstack_fleets_tui.output.plans import three_way_lines
from dstack_fleets_tui.words import words
from dstack_placement.engine import Code, Line, code_of
from tests.builders import projects, service_edits
from tests.builders.outlooks import BOTH, TWO, begun, outlook, project
from tests.builders.projects import NOW


def test_now_and_after_with_the_price() -> None:
    edit = begun().with_replicas("0", 4).with_lane("", "spot", min_replicas=2)
    found = outlook(edit, project(*BOTH))
    assert found.source is Source.ENGINE
    assert {lane.fleet: (lane.now, lane.start, lane.after) for lane in found.lanes} == {
        "reserved": (1, 1, 2),
        "spot": (1, 1, 2),
    }
    assert (found.count("stay"), found.count("start"), found.still) == (2, 2, False)
    assert (found.price_now, found.price_change) == (129.0, 129.0)
    assert outlook(begun(), project(*BOTH)).still


def test_a_price_that_is_not_known_is_named_until_an_offer_tells() -> None:
    edit = begun(fleets=[*TWO, {"name": "new"}]).with_lane("", "new", min_replicas=1, priority=20)
    snapshot = project(*BOTH, fleets=[*project(*BOTH).fleets.values(), projects.fleet("new")])
    found = outlook(edit, snapshot)
    assert (found.unpriced, found.price_change) == (("new",), None)
    offer = PlanOffer("0", "aws", "us-east-1", "p5", False, 50.0, "available")
    dear = replace(offer, price=20.0, availability="not_available")
    priced = outlook(edit, snapshot, offers=[dear, offer])
    assert priced.price_change == pytest.approx(50.0 - 31.0)


@pytest.mark.parametrize("lanes", [True, False])
def test_a_service_that_waits_for_its_time_starts_nothing_now(lanes: bool) -> None:
    """Neither is there a danger in the room of now, nor anything to wait for once it is applied."""
    edit = begun(lanes=lanes).with_replicas("0", 30)
    (service,) = project().services.values()
    spec = {"configuration": {"schedule": {"cron": "0 8 * * *"}}}
    waits = replace(service, status="pending", spec=spec)
    snapshot = replace(project(), services={waits.id: waits})
    found = outlook(edit, snapshot)
    assert {row.action for row in found.replicas} == {"pending"}
    assert {(lane.start, lane.after, lane.deficit) for lane in found.lanes} == {(0, 0, 0)}
    risks = {each.key: each.risk for each in warnings_of(edit, found, snapshot, now=NOW)}
    assert risks["at-its-time"] is Risk.NOTE
    assert Risk.DANGER not in risks.values()
    base = replace(edit.base, deployment=edit.base.deployment)
    assert progress(base, base, snapshot, found).state is State.DONE
    begins = replace(waits, status="submitted")
    assert outlook(edit, replace(snapshot, services={waits.id: begins})).count("start") > 0


def test_fleets_that_are_left() -> None:
    found = outlook(begun().remove_lane("", "spot"), project(*BOTH))
    left = found.lanes[-1]
    assert (left.fleet, left.now, left.leave, left.after) == ("spot", 1, 1, 0)
    assert [(row.action, row.to) for row in found.replicas] == [
        ("stay", None),
        ("move", "reserved"),
    ]


def test_a_stock_server_has_one_fleet_for_all() -> None:
    replicas = [projects.replica(0, "tight"), projects.replica(1, "tight")]
    full = projects.fleet("tight", nodes_max=2, instance_ids=("tight-0", "tight-1"))
    service = projects.service(replicas, [projects.group("0", 2)], fleet_name="tight")
    snapshot = replace(
        projects.project((service, replicas), fleets=[full]),
        instances={
            host.id: replace(host, fleet_id=full.id)
            for host in projects.instances("tight", "busy", "busy")
        },
    )
    edit = begun(lanes=False, fleets=["tight", "other"]).with_replicas("0", 3)
    found = outlook(edit, snapshot)
    assert not found.managed
    assert found.count("pending") == 1
    (warning,) = warnings_of(edit, found, snapshot, now=NOW)
    assert (warning.key, warning.risk) == ("kill-trap", Risk.DANGER)
    assert "2 of at most 2 nodes exist, none is idle" in warning.line


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"probes": []}, False),
        ({"probes": None}, False),
        ({"probes": [{"type": "http", "url": "/health"}]}, True),
        ({"probes": None, "model": "acme/chat"}, True),
        ({"probes": None, "model": {"name": "acme/chat", "format": "openai"}}, True),
        ({"probes": None, "model": {"name": "acme/chat", "format": "tgi"}}, False),
        ({"probes": [], "model": "acme/chat"}, False),
        ({"groups": [service_edits.group("a", router={"type": "smg"})]}, True),
    ],
)
def test_probes(changes: dict[str, object], expected: bool) -> None:
    assert is_probed(begun(**changes)) == expected


def test_what_the_server_knows_better() -> None:
    """Counts wanted, places given away, room and cooldowns come from the add-on."""
    waiting = projects.replica(1, None, "submitted")
    told = projects.placement(
        projects.lane("reserved", min_replicas=1, max_replicas=2, priority=10, room=0),
        projects.lane("spot", room=5, cooldown_until=NOW + timedelta(minutes=5)),
        desired={"0": 3},
        replicas=[
            replace(projects.placed(1, "reserved"), job_id=waiting.submission_id),
        ],
    )
    snapshot = project(BOTH[0], waiting, placements=[told])
    wide = begun(replicas={"min": 2, "max": 4}, scaling=service_edits.SCALING)
    found = outlook(wide, snapshot)
    assert [(row.action, row.fleet) for row in found.replicas] == [
        ("stay", "reserved"),
        ("stay", "reserved"),
        ("pending", None),
    ]
    all_of_them = warnings_of(wide, found, snapshot, now=NOW)
    (pending,) = [each for each in all_of_them if each.key == "pending"]
    assert "spot is in cooldown until" in pending.line
    edited = wide.with_lane("", "spot", priority=1)
    again = outlook(edited, snapshot)
    assert again.count("start") == 1, "an edit of the lanes ends their cooldowns"


def test_lanes_that_can_not_be_accepted() -> None:
    with pytest.raises(InvalidEditError, match="add up to 9"):
        outlook(begun().with_lane("", "spot", min_replicas=8), project(*BOTH))
    assert dry_run_here(begun(), project(*BOTH, name="other")) is None


def _keys(edit: ServiceEdit, snapshot: Snapshot) -> list[str]:
    found = warnings_of(edit, outlook(edit, snapshot), snapshot, now=NOW)
    return [warning.key for warning in found]


def test_a_rolling_deployment_of_several_groups_is_said_once() -> None:
    found = [projects.replica(n, "reserved", group="decode" if n else "prefill") for n in range(3)]
    groups = [projects.group("prefill", 1), projects.group("decode", 2)]
    run = projects.service(found, groups, id=begun().base.id, deployment_num=1)
    snapshot = projects.project((run, found))
    said = warnings_of(begun(), outlook(begun(), project(*BOTH)), snapshot, now=NOW)
    told = (
        "A rolling deployment is under way (3 replicas to go: prefill 1, decode 2): until it ends"
    )
    lines = [warning.line for warning in said if warning.key == "rollout"]
    assert lines == [f"{told}, counts and lanes are not followed."]


def test_warnings() -> None:
    snapshot = project(*BOTH)
    assert _keys(begun(), snapshot) == []
    assert _keys(begun().with_replicas("0", 3), snapshot) == ["no-retry", "no-probes"]
    none = begun().with_lane("", "reserved", min_replicas=0).with_replicas("0", 0)
    assert _keys(none, snapshot) == ["last-replica"]
    at_zero = replace(none.base, spec=none.spec)
    other = replace(none, base=at_zero).with_lane("", "spot", priority=9)
    assert _keys(other, snapshot) == [], "none is left by what stood at zero before"
    behind = replace(BOTH[1], deployment_num=0)
    ahead = replace(BOTH[0], deployment_num=1)
    assert "rollout" in _keys(begun(), project(ahead, behind, deployment_num=1))
    full = [projects.fleet("reserved", nodes_max=0), projects.fleet("spot", nodes_max=9)]
    short = begun().with_lane("", "reserved", min_replicas=2)
    assert "baseline" in _keys(short, project(*BOTH, fleets=full))
    lost = projects.router(projects.worker(1, Sync.MISSING, fleet="spot"))
    assert _keys(begun(), project(*BOTH, routers=[lost])) == ["workers"]
    far = Line("Fleet spot is skipped for workers: far.", Code.OUT_OF_REACH)
    told = replace(
        outlook(begun(), snapshot), notes=(far, Line("It rolls.", Code.ROLLOUT), "Other.")
    )
    found = warnings_of(begun(), told, snapshot, now=NOW)
    assert [(each.key, each.risk) for each in found] == [
        ("workers", Risk.WARNING),
        ("note", Risk.NOTE),
    ]
    assert {type(each.line) for each in found} == {str}, "YAML writes no other kind"


def test_notes_have_the_codes_that_come_with_them_and_no_others() -> None:
    notes = ["Fleet far: the router in near can't reach it.", "Group x is in a rolling deployment."]
    told = Preview(run_id="r", observed_at=NOW, notes=notes, note_codes=["", "rollout"])
    assert [code_of(each) for each in told.coded_notes()] == ["", "rollout"]
    uncoded = Preview(run_id="r", observed_at=NOW, notes=notes)
    assert [code_of(each) for each in uncoded.coded_notes()] == ["", ""]


def test_a_router_without_workers_answers_nothing() -> None:
    """The router itself stays, and is not a worker."""
    groups = [service_edits.group("router", router={"type": "smg"}), service_edits.group("worker")]
    edit = begun(lanes=False, fleets=["spot"], groups=groups, replicas=None)
    replicas = [
        projects.replica(0, "spot", group="router"),
        projects.replica(1, "spot", group="worker"),
    ]
    service = projects.service(
        replicas,
        [projects.group("router", router="smg"), projects.group("worker")],
        fleet_name="spot",
    )
    fleets = [projects.fleet("spot", nodes_max=9)]
    snapshot = projects.project((service, replicas), fleets=fleets)
    none = edit.with_replicas("worker", 0)
    warning, cut = warnings_of(none, outlook(none, snapshot), snapshot, now=NOW)
    assert cut.key == "cut"
    assert (warning.key, warning.risk) == ("last-replica", Risk.DANGER)
    assert warning.line.startswith("No worker is left behind the router")
    renamed = edit.with_values(
        {("configuration", "groups"): [groups[0], service_edits.group("another")]}
    )
    keys = [
        each.key for each in warnings_of(renamed, outlook(renamed, snapshot), snapshot, now=NOW)
    ]
    assert "last-replica" in keys, "the only worker that runs is stopped"


def _now(edit: ServiceEdit, **changes: Any) -> Base:
    return replace(edit.base, **{"deployment": 4, **changes})


def _state(
    *replicas: Replica, restarts: bool = True, **changes: Any
) -> tuple[State, tuple[str, ...]]:
    edit = begun()
    now = _now(edit, **changes)
    current = tuple(replace(each, deployment_num=each.deployment_num or 4) for each in replicas)
    snapshot = project(*current, deployment_num=4)
    found = progress(_now(edit), now, snapshot, outlook(edit, snapshot), restarts=restarts)
    return found.state, found.waiting


def test_replicas_that_drain_are_waited_for_with_their_requests() -> None:
    edit = begun()
    stopping = [projects.replica(number, "spot", "terminating") for number in (2, 3, 4)]
    snapshot = project(*BOTH, *stopping)
    waiting = {}
    for count in (3, None):
        drains = tuple(
            Drain(each.submission_id, NOW, 60, open_requests)
            for each, open_requests in zip(stopping, (2, count), strict=False)
        )
        placed = replace(projects.placement(managed=False), draining=drains)
        seen = replace(snapshot, placements={"s-chat": placed})
        waiting[count] = progress(_now(edit), _now(edit), seen, outlook(edit, snapshot)).waiting
    assert waiting[3][-2:] == ("2 draining, 5 requests open", "1 replica to stop")
    assert waiting[None][-2:] == ("2 draining", "1 replica to stop")


def test_progress() -> None:
    assert _state(*BOTH) == (State.DONE, ())
    assert _state(BOTH[0], projects.replica(1, "spot", "pulling")) == (
        State.MOVING,
        ("1 replica to start",),
    )
    assert _state(BOTH[0], projects.replica(1, "spot", ready=False)) == (
        State.MOVING,
        ("1 replica to be ready",),
    )
    assert _state(*BOTH, projects.replica(2, "spot", "terminating"))[1] == ("1 replica to stop",)
    state, waiting = _state(BOTH[0])
    assert (state, waiting) == (State.MOVING, ("1 replica to start in reserved",))
    behind = replace(BOTH[1], deployment_num=3)
    assert _state(BOTH[0], behind)[1][0] == "1 replica of an earlier deployment"
    renumbered = "1 replica to be renumbered to deployment 4"
    assert _state(BOTH[0], behind, restarts=False) == (State.MOVING, (renumbered,))
    assert _state(*BOTH, status="failed", resource={"error": "no_capacity"}) == (
        State.FAILED,
        ("The service has failed: no capacity.",),
    )
    # What its spec asks for does not come any more: the second replica.
    ends = {"status": "terminating", "resource": {"termination_reason": "job_failed"}}
    assert _state(BOTH[0], **ends) == (
        State.FAILED,
        ("The service is terminating: job failed.", "1 replica to stop"),
    )
    assert _state(*BOTH, deployment=5)[0] is State.SUPERSEDED
    assert _state(*BOTH, id="another")[0] is State.FAILED


@pytest.mark.parametrize("status", ["submitted", "failed"])
def test_what_waits_for_room_is_counted_once(status: str) -> None:
    """Between two attempts it has failed, and dstack makes no other one for it."""
    fleets = [projects.fleet("reserved", nodes_max=0), projects.fleet("spot", nodes_max=0)]
    waits = projects.replica(0, None, status, ready=False, deployment_num=4)
    starts = projects.replica(1, "spot", "pulling", ready=False, deployment_num=4)
    edit = begun(fleets=[{"name": "reserved", "priority": 1}, {"name": "spot"}])
    snapshot = project(waits, starts, fleets=fleets, deployment_num=4)
    found = progress(_now(edit), _now(edit), snapshot, outlook(edit, snapshot))
    first, second = found.waiting
    assert first == "1 replica to start"
    assert second.startswith("1 replica without room: ")


def test_a_minimum_that_is_not_met_is_not_done() -> None:
    """A fleet without room, while a replica past the other minimum could be there."""
    fleets = [projects.fleet("reserved", nodes_max=9), projects.fleet("spot", nodes_max=0)]
    there = (projects.replica(0, "reserved"), projects.replica(1, "reserved"))
    lanes = [{"name": "reserved", "min_replicas": 1}, {"name": "spot", "min_replicas": 1}]
    edit = begun(fleets=lanes)
    snapshot = project(*there, fleets=fleets)
    found = progress(_now(edit), _now(edit), snapshot, outlook(edit, snapshot))
    assert found.state is State.MOVING
    assert [line for line in found.waiting if line.startswith("spot below its minimum, 0 of 1: ")]
    most = {"min": 2, "max": 4}
    more = begun(fleets=[{**lanes[0], "min_replicas": 2}, lanes[1]], replicas=most)
    found = progress(_now(more), _now(more), snapshot, outlook(more, snapshot))
    assert not [line for line in found.waiting if "below" in line], "two are all that there are"


def test_progress_keeps_the_goals_of_the_plan_while_the_server_catches_up() -> None:
    edit = begun().with_replicas("0", 4)
    planned = outlook(edit, project(*BOTH))
    now = _now(edit, spec=edit.spec)
    behind = tuple(replace(each, deployment_num=3) for each in BOTH)
    snapshot = project(*behind, deployment_num=4)
    found = progress(now, now, snapshot, outlook(begun(), snapshot), planned)
    assert {lane.fleet: (lane.ready, lane.goal) for lane in found.lanes} == {
        "reserved": (1, 2),
        "spot": (1, 2),
    }
    assert (found.at_latest, found.active, found.final) == (0, 2, False)


def _disaggregated() -> ServiceEdit:
    """A router without a name, and workers for two parts of each request."""
    engine = "python -m sglang.launch_server --model acme/large --disaggregation-mode"
    groups = [
        {
            "replicas": {"min": 1, "max": 1},
            "router": {"type": "sglang"},
            "commands": ["smg launch"],
        },
        {"replicas": {"min": 1, "max": 1}, "commands": [f"{engine} prefill"]},
        {"replicas": {"min": 2, "max": 2}, "commands": [f"{engine} decode"]},
    ]
    return begun(lanes=False, fleets=["island"], groups=groups, replicas=None)


@pytest.mark.parametrize(
    ("group", "says"),
    [
        ("1", "No prefill worker is left: every request fails."),
        ("2", "No decode worker is left: every request fails."),
    ],
)
def test_the_last_worker_of_a_part_is_a_danger(group: str, says: str) -> None:
    found = warnings_of(_disaggregated().with_replicas(group, 0), None, None, now=NOW)
    assert [(each.key, each.risk, each.line) for each in found] == [
        ("last-replica", Risk.DANGER, says)
    ]
    assert not warnings_of(_disaggregated().with_replicas(group, 1), None, None, now=NOW)
    without = _disaggregated().with_replicas(group, 0)
    other = replace(without, base=replace(without.base, spec=without.spec)).with_priority(5)
    assert not warnings_of(other, None, None, now=NOW), "it was so before"


def test_a_plan_calls_groups_without_names_by_what_they_do() -> None:
    edit = _disaggregated()
    edited = edit.with_replicas("1", 2).with_replicas("2", 3)
    changes = difference(edit.spec, edited.spec, "service", edit.capabilities)
    assert [(each.name, each.label) for each in changes] == [
        ("groups 1 replicas", "groups 1 prefill replicas"),
        ("groups 2 replicas", "groups 2 decode replicas"),
    ]
    assert changes[0].path == ("configuration", "groups", "1", "replicas")
    found = dry_run_here(begun(), project(*BOTH))
    assert found is not None
    first = found.lanes[0]
    lane = replace(first, pool="1", lane=replace(first.lane, fleet="island"))
    assert replace(found, labels=labels_in(edited.spec)).lane_name(lane) == "1 prefill/island"
    theirs = replace(edit.base, spec=edit.with_replicas("1", 3).spec)
    met = three_way(edit.base, theirs, edited.spec)
    assert [(row.label, row.conflict) for row in met.rows] == [
        ("groups 1 prefill replicas", True),
        ("groups 2 decode replicas", False),
    ]
    assert three_way_lines(met)[0].startswith("CONFLICT groups 1 prefill replicas: was")
    extra = ReplicaOutlook(2, "1", True, None, "start", "island", None, "")
    said = "rolling deployment of group 1 prefill: first 1 more in island"
    assert words.surge(extra, labels_in(edited.spec)) == said


def test_a_rebalancing_that_goes_on_is_told() -> None:
    going = projects.placement(projects.lane("reserved"), rebalancing_left=1)
    snapshot = project(*BOTH, placements=[going])

    def told(edit: ServiceEdit) -> list[str]:
        found = warnings_of(edit, None, snapshot, now=NOW)
        return [each.line for each in found if each.key == "rebalancing"]

    begins = "A rebalancing is under way, 1 replica to move: "
    assert told(begun().with_priority(7)) == [f"{begins}it goes on beside this change."]
    lanes = begun().with_lane("", "spot", priority=20)
    assert told(lanes) == [f"{begins}the change of lanes ends it."]


def test_without_the_add_on_a_plan_that_stops_replicas_says_that_requests_may_be_cut() -> None:
    def told(edit: ServiceEdit) -> bool:
        snapshot = project(*BOTH)
        found = warnings_of(edit, outlook(edit, snapshot), snapshot, now=NOW)
        return "cut" in [each.key for each in found]

    stock = begun(lanes=False, fleets=["reserved", "spot"])
    assert told(stock.with_replicas("0", 1))
    assert not told(stock.with_replicas("0", 3))
    assert not told(begun().with_replicas("0", 1)), "there they drain"


def test_replicas_that_stay_above_a_lowered_maximum_are_warned_of() -> None:
    edit = begun().with_replicas("0", 3).with_lane("", "spot", max_replicas=1)
    replicas = (*BOTH, projects.replica(2, "spot", price=31.0))
    for nodes, found in ((1, []), (0, ["spot stays above its maximum: 2 of at most 1."])):
        fleets = [projects.fleet("reserved", nodes_max=nodes), projects.fleet("spot", nodes_max=9)]
        snapshot = project(*replicas, fleets=fleets)
        warned = warnings_of(edit, outlook(edit, snapshot), snapshot, now=NOW)
        lines = [each.line for each in warned if each.key == "above-maximum"]
        assert [line.split(" Its ")[0] for line in lines] == found
