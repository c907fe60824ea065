"""What can't change in place, with dstack's own rules, and addresses that replicas keep."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any, cast

import msgspec
import pytest

from dstack_api_client.analysis.distribution import distribution_of
from dstack_api_client.analysis.health import service_health
from dstack_api_client.edits.base.base import service_of
from dstack_api_client.edits.base.difference import ChangeKind, difference, refusal
from dstack_api_client.edits.follow.following import State, progress
from dstack_api_client.edits.offers.prices import PlanOffer
from dstack_api_client.edits.outlook.dryrun import NEVER
from dstack_api_client.edits.outlook.warnings import Risk, of_addresses, warnings_of
from dstack_api_client.edits.spec.fields import Path, with_fields
from dstack_api_client.model.capabilities import Capabilities
from dstack_api_client.model.replica import NO_CAPACITY
from dstack_api_client.problems.watch import Severity, problems_of
from dstack_api_client.transport.client import Client
from dstack_placement.engine import HeldAddress, held_addresses
from tests.builders import projects
from tests.builders.outlooks import begun, outlook
from tests.builders.service_edits import group

STOCK = Capabilities("0.22.5")
HELD = "the workers of a Dynamo router keep its address, so that it can't be replaced"
HEAD = "peer --head ${{ groups[0].replicas[0].IP_ADDRESS }}:7000"


def _spec(dstack: ModuleType, router: str | None, **changes: Any) -> dict[str, Any]:
    """A service of three groups, the first with a router, as dstack itself spells it out."""
    configuration = {
        "type": "service",
        "name": "chat",
        "port": 8000,
        "env": {"MODEL": "acme/chat"},
        "fleets": ["bay"],
        "groups": [
            {"replicas": 1, "commands": ["route"], "router": router and {"type": router}},
            {"replicas": 1, "commands": ["prefill"], "resources": {"gpu": "H200:8"}},
            {"replicas": 2, "commands": ["decode"], "resources": {"gpu": "H200:8"}},
        ],
        **changes,
    }
    return cast("dict[str, Any]", dstack.spelt_out(configuration))


def _path(*steps: str) -> Path:
    return ("configuration", *steps)


CHANGES: dict[str, dict[Path, Any]] = {
    "variable": {_path("env", "MODEL"): "acme/other"},
    "image": {_path("image"): "acme/serving:5"},
    "probes": {_path("probes"): [{"type": "http", "url": "/ready"}]},
    "port": {_path("port", "container_port"): 8001},
    "code": {("repo_code_hash",): "abc"},
    "spot policy of the router": {_path("groups", "0", "spot_policy"): "spot"},
    "commands of the router": {_path("groups", "0", "commands"): ["other"]},
    "type of the router": {_path("groups", "0", "router"): {"type": "sglang"}},
    "no router": {_path("groups", "0", "router"): None},
    "another router": {
        _path("groups", "0", "router"): None,
        _path("groups", "1", "router"): {"type": "sglang"},
    },
    "count of workers": {_path("groups", "2", "replicas"): {"min": 3, "max": 3}},
    "commands of workers": {_path("groups", "2", "commands"): ["other"]},
    "resources of workers": {_path("groups", "1", "resources", "gpu", "name"): ["H100"]},
    "priority": {_path("priority"): 7},
    "gateway": {_path("gateway"): False},
    "https true": {_path("https"): True},
    "https false": {_path("https"): False},
    "tags": {_path("tags"): {"team": "ml"}},
    "a duration": {_path("max_duration"): 60},
    "spot policy": {_path("spot_policy"): "spot"},
    "lanes": {_path("fleets"): [{"name": "pond"}]},
    "auth": {_path("auth"): False},
    "rates": {_path("rate_limits"): [{"rps": 4}]},
}


@pytest.mark.parametrize("router", [None, "sglang", "dynamo"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_dstack_refuses_is_not_possible_in_place(
    dstack: ModuleType, router: str | None, change: str
) -> None:
    old = _spec(dstack, router)
    new = with_fields(old, CHANGES[change])
    for spec in (old, new):
        spec["configuration"]["groups"] = [
            {**each, "replicas": {"min": 1, "max": 1}} if each.get("router") else each
            for each in spec["configuration"]["groups"]
        ]
    refused = not dstack.updates_in_place(old, new)
    told = difference(old, new, "service", STOCK)
    assert any(each.kind is ChangeKind.NOT_IN_PLACE for each in told) == refused, told


def test_the_reason_is_told_for_each_field(dstack: ModuleType) -> None:
    new = with_fields(
        _spec(dstack, "dynamo"), {**CHANGES["variable"], **CHANGES["count of workers"]}
    )
    told = difference(_spec(dstack, "dynamo"), new, "service", STOCK)
    assert {each.name: (each.kind, each.note) for each in told} == {
        "env MODEL": (ChangeKind.NOT_IN_PLACE, HELD),
        "groups 2 replicas": (ChangeKind.NO_RESTART, ""),
    }
    said = str(refusal(told, "while the service runs", "Leave it."))
    assert said.startswith("env MODEL can't be changed while the service runs.")
    assert f"(not possible in place: {HELD}); groups 2 replicas: 2 -> 3 (no restart)." in said


def test_groups_that_come_and_go_restart_nothing(dstack: ModuleType) -> None:
    old = _spec(dstack, None)
    new = with_fields(old, {_path("groups", "(order)"): ["0", "1"]})
    new["configuration"]["groups"].append(group("more"))
    kinds = {each.name: (each.kind, each.note) for each in difference(old, new, "service", STOCK)}
    assert kinds["groups more commands"] == (ChangeKind.NO_RESTART, "its replicas start")
    assert kinds["groups 2 commands"] == (ChangeKind.NO_RESTART, "its replicas stop")


def test_whose_address_is_held(dstack: ModuleType) -> None:
    groups = [group("head"), group("peers", commands=[HEAD, "wait"]), group("other")]
    held = held_addresses({"groups": groups})
    assert held == (HeldAddress("head", 0, ("peers",)),)
    escaped = HEAD.replace("$", "$$")
    beyond = HEAD.replace("groups[0]", "groups[9]")
    assert held_addresses({"groups": [group("a", commands=[escaped, beyond])]}) == ()
    own = HEAD.replace("replicas[0]", "replicas[1]")
    assert held_addresses({"commands": [own]}) == (HeldAddress("0", 1, ("0",)),)
    dynamo = _spec(dstack, "dynamo")["configuration"]
    assert held_addresses(dynamo) == (HeldAddress("0", 0, ("1", "2")),)
    assert held_addresses(_spec(dstack, "sglang")["configuration"]) == ()
    assert held_addresses({"groups": "odd", "commands": 3}) == ()


FLEETS = [{"name": "cold", "priority": 10}, {"name": "warm"}]


def _ring(head: str) -> tuple[Any, Any]:
    """A service whose peers are given the address of the head, and its project."""
    replicas = [
        projects.replica(0, head, group="head"),
        projects.replica(1, "cold", group="peers"),
        projects.replica(2, "cold", group="peers"),
    ]
    groups = [projects.group("head", 1), projects.group("peers", 2)]
    service = projects.service(replicas, groups)
    fleets = [projects.fleet(name, nodes_max=9) for name in ("cold", "warm")]
    snapshot = projects.project((service, replicas), fleets=fleets, capabilities=projects.ADDON)
    lanes = [group("head"), group("peers", commands=[HEAD], replicas={"min": 2, "max": 2})]
    return begun(fleets=FLEETS, groups=lanes, replicas=None), snapshot


def test_a_head_that_moves_leaves_its_address_behind() -> None:
    edit, snapshot = _ring("cold")
    assert not of_addresses(edit, outlook(edit, snapshot)), "nothing moves"
    changed = edit.remove_lane("", "cold")
    found = of_addresses(changed, outlook(changed, snapshot))
    assert [(each.key, each.risk) for each in found] == [("addresses", Risk.DANGER)]
    assert found[0].line == (
        "Replica 0 (head) moves, and the replicas of peers keep its old address until they are"
        " replaced: what they send there fails."
    )


def _at_zero(ended: str | None, **options: Any) -> tuple[Any, Any]:
    """A stock service without replicas, of which replica 0 may have ended, and its project."""
    service = projects.service((), [projects.group("a", 0)], status="pending", shares=())
    fleets = [projects.fleet(name) for name in ("bay", "pond")]
    snapshot = projects.project((service, ()), fleets=fleets)
    none = {"min": 0, "max": 0}
    groups = [group("a", replicas=none)]
    edit = begun(lanes=False, groups=groups, replicas=None, retry=True, **options)
    return replace(edit, base=replace(edit.base, first_group=ended)), snapshot


def _with(edit: Any, **counts: int) -> Any:
    groups = [group(name, replicas={"min": n, "max": n}) for name, n in counts.items()]
    return edit.with_configuration({**edit.configuration, "groups": groups})


@pytest.mark.parametrize(
    ("ended", "fleets", "counts", "expected"),
    [
        (None, ["bay"], {"a": 0, "b": 1}, [("b", "start", "bay")]),
        (None, ["bay", "pond"], {"a": 0, "b": 1}, [("b", "start", None)]),
        ("a", ["bay"], {"a": 1, "b": 1}, [("a", "start", "bay"), ("b", "start", "bay")]),
        ("a", ["bay"], {"a": 0, "b": 1}, [("b", "pending", None)]),
        ("a", ["bay", "pond"], {"a": 0, "b": 2}, [("b", "pending", None)] * 2),
        ("a", ["bay"], {"b": 1}, [("b", "pending", None)]),
        ("b", ["bay"], {"a": 0, "b": 1}, [("b", "start", "bay")]),
    ],
)
def test_what_starts_from_zero(
    ended: str | None, fleets: list[str], counts: dict[str, int], expected: list[Any]
) -> None:
    edit, snapshot = _at_zero(ended, fleets=fleets)
    changed = _with(edit, **counts)
    found = outlook(changed, snapshot)
    assert [(row.group, row.action, row.to) for row in found.replicas] == expected
    warned = warnings_of(changed, found, snapshot, now=projects.NOW)
    never = [each for each in warned if each.key == "never-starts"]
    assert bool(never) == any(action == "pending" for _, action, _ in expected)
    for each in never:
        assert each.risk is Risk.DANGER
        assert "dstack waits for replica 0, of group a, to choose the fleet first" in each.line
    assert "kill-trap" not in {each.key for each in warned}


def test_what_starts_beside_replicas_that_have_no_place_yet() -> None:
    """No fleet is known: those that wait are no reason to leave out those that start."""
    waits = [
        projects.replica(number, None, "submitted", ready=False, group="a") for number in (0, 1)
    ]
    service = projects.service(waits, [projects.group("a", 2)], status="submitted", shares=())
    fleets = [projects.fleet(name) for name in ("bay", "pond")]
    snapshot = projects.project((service, waits), fleets=fleets)
    groups = [group("a", replicas={"min": 2, "max": 2})]
    edit = begun(lanes=False, groups=groups, replicas=None, retry=True, fleets=[])
    found = outlook(_with(edit, a=4, b=1), snapshot)
    assert [(row.number, row.group, row.action, row.to) for row in found.replicas] == [
        (0, "a", "stay", None),
        (1, "a", "stay", None),
        (2, "a", "start", None),
        (3, "a", "start", None),
        (4, "b", "start", None),
    ]
    assert found.price_after is None
    assert {row.action for row in outlook(_with(edit, a=2), snapshot).replicas} == {"stay"}
    fewer = outlook(_with(edit, a=1, b=1), snapshot)
    assert [(row.number, row.group, row.action, row.why) for row in fewer.replicas] == [
        (0, "a", "stay", ""),
        (1, "a", "stop", "2 replicas, 1 desired"),
        (2, "b", "start", "the server chooses its fleet"),
    ]
    assert not any("has no lanes" in note for note in fewer.notes), "nor does any other"
    none = outlook(_with(edit, a=0), snapshot)
    assert [row.action for row in none.replicas] == ["stop", "stop"]
    assert none.price_change == 0.0


@pytest.mark.parametrize(
    "ended",
    [
        {"status": "failed", "termination_reason": NO_CAPACITY},
        {"status": "terminating", "termination_reason": NO_CAPACITY},
        {"status": "failed", "termination_reason": "interrupted_by_no_capacity"},
    ],
    ids=["failed", "about to", "interrupted"],
)
@pytest.mark.parametrize("named", [True, False], ids=["in a fleet", "without fleets"])
def test_what_dstack_starts_again_counts_as_what_waits(ended: dict[str, str], named: bool) -> None:
    """It does so before it scales: 3 to 5 are two more, whatever moment it is."""
    status = ended["status"]
    replicas = [
        projects.replica(0, None, "submitted", ready=False),
        projects.replica(1, None, status, ready=False, **{**ended, "status": status}),
        projects.replica(2, None, status, ready=False, **{**ended, "status": status}),
    ]
    fleet_name = "bay" if named else None
    service = projects.service(
        replicas, [projects.group("0", 3)], status="submitted", shares=(), fleet_name=fleet_name
    )
    snapshot = projects.project((service, replicas), fleets=[projects.fleet("bay", nodes_max=4)])
    edit = begun(
        lanes=False, replicas={"min": 3, "max": 3}, retry=True, fleets=[fleet_name] * named
    )

    def told(count: int) -> list[tuple[int, bool, str]]:
        found = outlook(edit.with_replicas("0", count), snapshot)
        return [(row.number, row.new, row.action) for row in found.replicas]

    here = "start" if named else "stay"
    more = [(3, True, "start"), (4, True, "pending" if named else "start")]
    assert told(5) == [(0, False, here), (1, False, here), (2, False, here), *more]
    assert [action for *_, action in told(2)].count("stop") == 1


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (4, ("2 replicas to start", "2 replicas to be made")),
        (1, ("1 replica too many", "1 replica to start")),
    ],
)
def test_what_is_waited_for_where_no_fleet_is_known(count: int, expected: tuple[str, ...]) -> None:
    waits = [
        projects.replica(number, None, "submitted", ready=False, group="a") for number in (0, 1)
    ]
    service = projects.service(waits, [projects.group("a", count)], status="submitted", shares=())
    fleets = [projects.fleet(name) for name in ("bay", "pond")]
    snapshot = projects.project((service, waits), fleets=fleets)
    edit = _with(begun(lanes=False, replicas=None, retry=True, fleets=[]), a=count)
    edit = replace(edit, base=replace(edit.base, spec=edit.spec))
    found = progress(edit.base, edit.base, snapshot, outlook(edit, snapshot))
    assert (found.state, found.waiting[1:]) == (State.MOVING, expected)


def test_what_the_start_from_zero_costs_is_told_by_the_offers() -> None:
    edit, snapshot = _at_zero(None, fleets=["bay", "pond"])
    changed = _with(edit, a=0, b=2)
    assert outlook(changed, snapshot).price_after is None
    offer = PlanOffer("b", "aws", "us-east-1", "p5", False, 50.0, "available")
    assert outlook(changed, snapshot, offers=[offer]).price_after == 100.0


def test_the_group_of_replica_0_is_known_though_it_has_ended() -> None:
    jobs = [
        {"job_spec": {"replica_num": 1, "replica_group": "b"}, "job_submissions": []},
        {"job_spec": {"replica_num": 0, "replica_group": "a"}, "job_submissions": []},
    ]
    spec = {"run_name": "chat", "configuration": {"type": "service"}}
    whole = {"id": "1", "status": "pending", "run_spec": spec}
    client = Client("http://server", "t")
    for given, expected in ((jobs, "a"), (jobs[:1], None), (None, None), (["odd"], None)):
        read = service_of(client, "main", msgspec.json.encode({**whole, "jobs": given}))
        assert read.first_group == expected
        assert read.resource["jobs"] == []


@pytest.mark.parametrize("status", ["submitted", "terminating"])
def test_what_waits_for_replica_0_already_starts_no_more_than_what_comes(status: str) -> None:
    """A replica of b was applied before, or the last one of a is still stopping."""
    there = projects.replica(1, None, "submitted", ready=False, group="b")
    if status == "terminating":
        there = projects.replica(0, "bay", "terminating", ready=False, group="a")
    edit, _ = _at_zero("a", fleets=["bay"])
    groups = [projects.group("a", 0), projects.group("b", 0)]
    service = projects.service((there,), groups, status="pending", shares=())
    snapshot = projects.project((service, (there,)), fleets=[projects.fleet("bay")])
    changed = _with(edit, a=0, b=2)
    found = outlook(changed, snapshot)
    comes = [row for row in found.replicas if row.group == "b"]
    assert [(row.action, row.to, row.reason) for row in comes] == [("pending", None, NEVER)] * 2
    assert [(lane.fleet, lane.after) for lane in found.lanes] == [("bay", 0)]
    again = _with(edit, a=1, b=2)
    assert NEVER not in {row.reason for row in outlook(again, snapshot).replicas}


def test_what_waits_for_replica_0_is_not_done() -> None:
    there = projects.replica(1, None, "submitted", ready=False, group="b")
    service = projects.service((there,), [projects.group("a", 0), projects.group("b", 1)])
    snapshot = projects.project((service, (there,)), fleets=[projects.fleet("bay")])
    edit = _with(_at_zero("a", fleets=["bay"])[0], a=0, b=1)
    edit = replace(edit, base=replace(edit.base, spec=edit.spec))
    found = progress(edit.base, edit.base, snapshot, outlook(edit, snapshot))
    assert found.state is State.MOVING
    assert "1 replica that will wait for ever: dstack waits for replica 0, of group a" in (
        "; ".join(found.waiting)
    )
    assert not [line for line in found.waiting if line.endswith(" to start")]
    young = replace(service, submitted_at=projects.NOW)
    assert str(service_health(projects.project((young, (there,))), young)) == "DOWN"
    (problem,) = problems_of(snapshot, projects.NOW)
    assert problem.severity is Severity.CRITICAL
    assert problem.text.startswith("b 1: waits for ever: replica 0, which chooses the fleet")
    (row,) = distribution_of(snapshot, service).rows
    assert row.reason.startswith("waits for ever: ")
    first = projects.replica(0, None, "submitted", ready=False, group="a")
    both = projects.service((first, there), [projects.group("a", 1), projects.group("b", 1)])
    with_first = projects.project((both, (first, there)))
    waking = replace(both, submitted_at=projects.NOW)
    waited = projects.project((waking, (first, there)))
    assert str(service_health(waited, waking)) == "STARTING"
    assert not [each for each in problems_of(with_first, projects.NOW) if "ever" in each.text]


@pytest.mark.parametrize(
    ("reason", "waits"), [(NO_CAPACITY, False), ("scaled_down", True)], ids=["failed", "stopped"]
)
def test_a_replica_0_that_is_tried_again_is_waited_for_a_while(reason: str, waits: bool) -> None:
    """Between two attempts it stops for a moment: nothing waits for ever meanwhile."""
    first = projects.replica(
        0, None, "terminating", ready=False, group="a", termination_reason=reason
    )
    there = projects.replica(1, None, "submitted", ready=False, group="b")
    both = projects.service((first, there), [projects.group("a", 1), projects.group("b", 1)])
    found = problems_of(projects.project((both, (first, there))), projects.NOW)
    assert any("ever" in each.text for each in found) == waits
