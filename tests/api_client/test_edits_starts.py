"""What is told of replicas that an edit starts: extra ones of a rollout, and what `retry` is worth.

Without a server.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from dstack_api_client.edits.base.difference import difference
from dstack_api_client.edits.offers.prices import PlanOffer
from dstack_api_client.edits.outlook.dryrun import dry_run_here, with_landings
from dstack_api_client.edits.outlook.outlooks import DryRun, ReplicaOutlook
from dstack_api_client.edits.outlook.retrying import DEFAULT_DURATION, retry_of
from dstack_api_client.edits.outlook.warnings import PlanWarning, Risk, warnings_of
from dstack_api_client.edits.plan.certainty import unsure_fleets
from dstack_api_client.edits.plan.surging import landings, rolled_groups, surges
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.model.replica import Replica
from dstack_api_client.model.service import Group
from dstack_api_client.model.snapshot import Snapshot
from tests.builders import projects, service_edits
from tests.builders.projects import ADDON, NOW, STOCK

IMAGE = ("configuration", "image")
BEGAN = NOW - timedelta(days=2)


def begun(*, lanes: bool = False, began: datetime | None = BEGAN, **changes: Any) -> ServiceEdit:
    """An edit of the service chat of two replicas, by default on a stock server."""
    base = service_edits.base(**{"fleets": ["tight"], **changes})
    told = {} if began is None else {"submitted_at": began.isoformat()}
    base = replace(base, id="s-chat", resource={**base.resource, **told})
    return ServiceEdit.begin(base, ADDON if lanes else STOCK)


def project(
    nodes: int, *replicas: Replica, groups: Sequence[Group] | None = None, **changes: Any
) -> Snapshot:
    """The service in the fleet `tight`, whose hosts are all busy with it."""
    there = replicas or (projects.replica(0, "tight"), projects.replica(1, "tight"))
    service = projects.service(
        there, groups or [projects.group("0", 2)], fleet_name="tight", **changes
    )
    hosts = projects.instances("tight", *["busy"] * len(there))
    fleet = projects.fleet("tight", nodes_max=nodes)
    snapshot = projects.project((service, there), fleets=[fleet])
    return replace(
        snapshot, instances={host.id: replace(host, fleet_id=fleet.id) for host in hosts}
    )


def outlook(edit: ServiceEdit, snapshot: Snapshot) -> DryRun:
    """As a plan makes it."""
    found = dry_run_here(edit, snapshot)
    assert found is not None
    told = difference(edit.base.spec, edit.spec, "service", edit.capabilities)
    return replace(found, surges=surges(edit, snapshot, told))


def warned(edit: ServiceEdit, snapshot: Snapshot) -> list[PlanWarning]:
    """The warnings, but for those of probes and of requests that are cut."""
    found = warnings_of(edit, outlook(edit, snapshot), snapshot, now=NOW)
    return [warning for warning in found if warning.key not in ("no-probes", "cut")]


def rows(edit: ServiceEdit, snapshot: Snapshot) -> list[tuple[str, str, str | None]]:
    return [(row.group, row.action, row.to) for row in outlook(edit, snapshot).surges]


@pytest.mark.parametrize(
    "path",
    [IMAGE, ("configuration", "env", "MODE"), ("repo_code_hash",)],
)
def test_a_rolling_deployment_on_a_full_fleet_is_the_trap(path: tuple[str, ...]) -> None:
    edit = begun().with_values({path: "new"})
    assert rows(edit, project(2)) == [("0", "pending", None)]
    assert outlook(edit, project(2)).starts == {("0", None)}, "its offers matter"
    (trap,) = warned(edit, project(2))
    assert (trap.key, trap.risk) == ("kill-trap", Risk.DANGER)
    assert "2 of at most 2 nodes exist, none is idle" in trap.line
    assert "The rolling deployment starts it beside those that run" in trap.line
    assert "dstack then ends the whole service" in trap.line


def test_a_rolling_deployment_with_room() -> None:
    edit = begun().with_values({IMAGE: "new"})
    assert rows(edit, project(3)) == [("0", "start", "tight")]
    found = warnings_of(edit, outlook(edit, project(3)), project(3), now=NOW)
    assert [warning.key for warning in found] == ["no-retry", "no-probes", "cut"]


@pytest.mark.parametrize(
    ("edit", "nodes", "expected"),
    [
        (begun().with_priority(7), 2, []),
        (begun().with_values({IMAGE: "new"}).with_replicas("0", 0), 2, []),
        (begun().with_values({IMAGE: "new"}).with_replicas("0", 1), 2, [("0", "start", "tight")]),
        (begun().with_values({IMAGE: "new"}).with_replicas("0", 3), 3, [("0", "pending", None)]),
        (begun().with_values({IMAGE: "new"}).with_replicas("0", 3), 4, [("0", "start", "tight")]),
    ],
)
def test_one_more_than_are_wanted(
    edit: ServiceEdit, nodes: int, expected: list[tuple[str, str, str | None]]
) -> None:
    """Nothing rolls; none is wanted; one makes room first; the wanted one takes the place; both."""
    assert rows(edit, project(nodes)) == expected


def test_the_extra_replica_of_an_unfinished_deployment_makes_room() -> None:
    old = [projects.replica(n, "tight", deployment_num=0) for n in (0, 1)]
    extra = projects.replica(2, "tight", ready=False, deployment_num=1)
    snapshot = project(3, *old, extra, deployment_num=1)
    edit = begun().with_values({IMAGE: "newer"})
    assert rows(edit, snapshot) == [("0", "start", "tight")]
    assert rows(edit, project(2, *old, deployment_num=1)) == [("0", "pending", None)]


def _grouped() -> tuple[ServiceEdit, Snapshot]:
    groups = [service_edits.group("front"), service_edits.group("back")]
    replicas = [
        projects.replica(0, "tight", group="front"),
        projects.replica(1, "tight", group="back"),
    ]
    named = [projects.group("front"), projects.group("back")]
    return begun(groups=groups, replicas=None), project(3, *replicas, groups=named)


def test_a_group_is_rolled_out_alone() -> None:
    edit, snapshot = _grouped()
    back = edit.with_group("back", spot_policy="auto")
    assert rows(back, snapshot) == [("back", "start", "tight")]
    assert rows(edit.with_group("front", reservation="r-1"), snapshot) == [
        ("front", "start", "tight")
    ]
    everything = edit.with_values({IMAGE: "new"})
    told = difference(edit.base.spec, everything.spec, "service", STOCK)
    assert rolled_groups(everything, told) == ("front", "back")
    assert rows(everything, snapshot) == [("front", "start", "tight"), ("back", "pending", None)]
    (only,) = warned(everything, snapshot)
    assert only.key == "kill-trap", "what comes of no `retry` is told once"


def test_replicas_that_are_rolled_out_do_not_stay() -> None:
    edit, snapshot = _grouped()
    back = outlook(edit.with_group("back", spot_policy="auto"), snapshot)
    stays = sum(row.action == "stay" for row in back.replicas)
    of_back = sum(row.group == "back" for row in back.replicas)
    assert (back.count("replace"), back.count("stay")) == (of_back, stays - of_back)
    assert of_back


def test_a_reason_that_another_one_contains_is_told_once() -> None:
    edit, snapshot = _grouped()
    told = outlook(edit, snapshot)
    whys = ["near has no room", "near has no room; far has no room", "near has no room"]
    rows = [
        ReplicaOutlook(number, "back", True, None, "pending", None, None, why)
        for number, why in enumerate(whys)
    ]
    found = warnings_of(edit, replace(told, replicas=tuple(rows)), snapshot, now=NOW)
    (line,) = [warning.line for warning in found if warning.key == "kill-trap"]
    assert "3 replicas can't start (near has no room; far has no room), and" in line


def test_what_the_server_has_no_offer_for_can_not_start() -> None:
    """A node more does not help a group that asks for spot where the fleet has none."""
    edit, snapshot = _grouped()
    back = edit.with_group("back", spot_policy="spot")
    told = difference(edit.base.spec, back.spec, "service", STOCK)
    (waits,) = surges(back, snapshot, told)
    assert (waits.action, waits.to) == ("pending", None)
    assert waits.why == "tight has no room, it is on-demand only, and spot is asked for"

    both = edit.with_group("back", reservation="r-1")
    told = difference(edit.base.spec, both.spec, "service", STOCK)
    for here in ({}, {"front": False}, {"back": True}):
        (starts,) = surges(both, snapshot, told, {"tight": here})
        assert starts.action == "start"
    (waits,) = surges(both, snapshot, told, {"tight": {"front": True, "back": False}})
    assert (waits.action, waits.to) == ("pending", None)
    assert waits.why == "tight has no room, the server has no offer there that fits"


def _with_lanes(reserved: int, spot: int) -> tuple[ServiceEdit, Snapshot]:
    lanes = [
        {"name": "reserved", "min_replicas": 1, "max_replicas": 1, "priority": 10},
        {"name": "spot", "max_replicas": 1},
    ]
    replicas = [projects.replica(0, "reserved"), projects.replica(1, "spot")]
    service = projects.service(replicas, [projects.group("0", 2)])
    fleets = [
        projects.fleet("reserved", nodes_max=reserved),
        projects.fleet("spot", nodes_max=spot),
    ]
    snapshot = projects.project((service, replicas), fleets=fleets, capabilities=ADDON)
    edit = begun(lanes=True, fleets=lanes).with_values({IMAGE: "new"})
    return edit, snapshot


def test_with_lanes_it_goes_one_above_a_maximum() -> None:
    edit, snapshot = _with_lanes(1, 1)  # the hosts are not in the snapshot: one more fits in each
    assert rows(edit, snapshot) == [("0", "start", "reserved")]
    (warning,) = warned(edit, snapshot)
    assert (warning.key, warning.risk) == ("no-retry", Risk.DANGER)
    assert warning.line.endswith("Lack of room alone does not.")
    edit, snapshot = _with_lanes(0, 1)
    assert rows(edit, snapshot) == [("0", "start", "spot")]


def _in_the_later_lane(warm: int, number: int = 2) -> tuple[ServiceEdit, Snapshot]:
    """All replicas are in the lane that is filled last, for 30 $/h each; `warm` has some room."""
    lanes = [{"name": "warm", "priority": 20}, {"name": "cold", "priority": 10}]
    replicas = [projects.replica(each, "cold", price=30.0) for each in range(number)]
    service = projects.service(replicas, [projects.group("0", number)])
    fleets = [projects.fleet("warm", nodes_max=warm), projects.fleet("cold", nodes_max=number)]
    hosts = projects.instances("cold", *["busy"] * number, price=30.0)
    snapshot = projects.project(
        (service, replicas),
        fleets=fleets,
        hosts=[replace(host, fleet_id=fleets[1].id) for host in hosts],
        capabilities=ADDON,
    )
    changes = {"fleets": lanes, "replicas": {"min": number, "max": number}}
    return begun(lanes=True, **changes).with_values({IMAGE: "new"}), snapshot


@pytest.mark.parametrize(
    ("warm", "moved", "price"), [(9, [0, 1], 200.0), (1, [1], 130.0), (0, [], 60.0)]
)
def test_a_rolling_deployment_replaces_in_the_lane_that_has_room(
    warm: int, moved: list[int], price: float
) -> None:
    """The plan said that all stay, at the price of before."""
    edit, snapshot = _in_the_later_lane(warm)
    told = difference(edit.base.spec, edit.spec, "service", edit.capabilities)
    found = landings(edit, snapshot, told)
    assert found == {("0", number): "warm" for number in moved}
    offer = PlanOffer("0", "aws", "eu-west-1", "p5", False, 100.0, "available", "warm")
    plan = with_landings(outlook(edit, snapshot), found, edit, snapshot, [offer])
    lanes = {lane.fleet: (lane.now, lane.after, lane.enter, lane.leave) for lane in plan.lanes}
    many = len(moved)
    assert lanes == {"warm": (0, many, many, 0), "cold": (2, 2 - many, 0, many)}
    assert plan.price_after == pytest.approx(price)
    assert "warm" not in unsure_fleets(edit, plan, snapshot, [offer])
    assert landings(edit.with_values({IMAGE: None}), snapshot, ()) == {}, "nothing is rolled out"


def test_with_lanes_lack_of_room_only_waits() -> None:
    edit, snapshot = _with_lanes(0, 0)
    assert rows(edit, snapshot) == [("0", "pending", None)]
    (warning,) = warned(edit, snapshot)
    assert (warning.key, warning.risk) == ("pending", Risk.WARNING)
    assert "will wait" in warning.line


@pytest.mark.parametrize(
    ("retry", "expected"),
    [
        (None, None),
        (False, None),
        (True, DEFAULT_DURATION),
        ({"on_events": None, "duration": None}, DEFAULT_DURATION),
        ({"on_events": None, "duration": 60}, 60),
        ({"on_events": ["error"], "duration": 60}, None),
        ({"on_events": ["no-capacity", "error"], "duration": 86400}, 86400),
    ],
)
def test_how_long_a_start_is_retried(retry: object, expected: int | None) -> None:
    found = retry_of(begun(retry=retry))
    assert (found.seconds, found.since) == (expected, BEGAN)
    by_profile = begun().with_values({("profile", "retry"): retry})
    assert retry_of(by_profile).seconds == expected


NO_RETRY = "the spec has no `retry`"


@pytest.mark.parametrize(
    ("retry", "capacity", "errors"),
    [
        (None, NO_RETRY, NO_RETRY),
        ({"on_events": ["error"]}, "its `retry` is not for `no-capacity`", ""),
        ({"on_events": ["interruption"]}, *(f"its `retry` is not for `{each}`"
                                            for each in ("no-capacity", "error"))),
        ({"on_events": ["no-capacity"]}, "", "its `retry` is not for `error`"),
        (True, "", ""),
    ],
)  # fmt: skip
def test_a_retry_for_other_events_is_not_said_to_be_none(
    retry: object, capacity: str, errors: str
) -> None:
    began = NOW - timedelta(minutes=1)
    found = retry_of(begun(retry=retry, began=began))
    assert (found.lack(NOW), found.lack_of_errors) == (capacity, errors)
    (trap,) = warned(begun(retry=retry, began=began).with_replicas("0", 3), project(2))
    assert trap.key == ("kill-trap" if capacity else "pending")
    assert capacity in trap.line
    edit, snapshot = _with_lanes(1, 1)
    lanes = warned(edit.with_values({("configuration", "retry"): retry}), snapshot)
    assert [each.line.partition(":")[0].lower() for each in lanes] == ([errors] if errors else [])


def test_a_scheduled_service_counts_from_what_triggered_it() -> None:
    edit = begun(retry=True)
    later = {**edit.base.resource, "next_triggered_at": "2026-01-01T10:00:00Z"}
    scheduled = replace(edit, base=replace(edit.base, resource=later))
    assert f"{retry_of(scheduled).since}" == "2026-01-01 10:00:00+00:00"


@pytest.mark.parametrize("began", [BEGAN, NOW - timedelta(minutes=61)])
@pytest.mark.parametrize("change", [IMAGE, None])
def test_a_retry_that_is_over_is_none(change: tuple[str, ...] | None, began: datetime) -> None:
    """It counts from when the service began, so that an older one ends in spite of it."""
    edit = begun(retry=True, began=began)
    edit = edit.with_replicas("0", 3) if change is None else edit.with_values({change: "new"})
    (trap,) = warned(edit, project(2))
    assert (trap.key, trap.risk) == ("kill-trap", Risk.DANGER)
    said = "its `retry` of 1 h is over: it counts from when the service began, "
    assert f"{said}{began:%Y-%m-%d %H:%M:%S} UTC" in trap.line
    (with_room,) = warned(edit, project(3))
    assert with_room.key == "no-retry"
    assert with_room.line.startswith("Its `retry` of 1 h is over")


def test_while_its_retry_holds_a_replica_waits() -> None:
    edit = begun(retry=True, began=NOW - timedelta(minutes=59)).with_replicas("0", 3)
    (waits,) = warned(edit, project(2))
    assert (waits.key, waits.risk) == ("pending", Risk.DANGER)
    assert "will wait" in waits.line
    end = f"{NOW + timedelta(minutes=1):%Y-%m-%d %H:%M:%S} UTC"
    assert f"Its `retry` is over at {end}" in waits.line
    (soon,) = warned(edit, project(3))
    assert (soon.key, soon.risk) == ("no-retry", Risk.DANGER)
    assert soon.line.startswith(
        f"Its `retry` of 1 h is over at {end}: if a new replica can't start"
    )
    early = begun(retry=True, began=NOW - timedelta(minutes=49)).with_replicas("0", 3)
    assert warned(early, project(3)) == []
    longer = begun(retry={"on_events": None, "duration": 7 * 86400}).with_replicas("0", 3)
    assert [warning.key for warning in warned(longer, project(2))] == ["pending"]
    unknown = begun(retry=True, began=None).with_replicas("0", 3)
    assert [warning.key for warning in warned(unknown, project(2))] == ["pending"]


def test_a_retry_longer_than_time_is_over_at_no_time() -> None:
    retry = {"on_events": None, "duration": 10**12}
    (waits,) = warned(begun(retry=retry).with_replicas("0", 3), project(2))
    assert waits.line.endswith(
        "Once its `retry` is over, a replica that can't start ends the whole service."
    )


def test_a_retry_that_is_not_for_errors_is_a_danger_where_there_is_room() -> None:
    retry = {"on_events": ["no-capacity"], "duration": 7 * 86400}
    (failing,) = warned(begun(retry=retry).with_replicas("0", 3), project(3))
    assert (failing.key, failing.risk) == ("no-retry", Risk.DANGER)
    assert failing.line == (
        "Its `retry` is not for `error`: if a new replica can't start, dstack ends the whole"
        " service, the replicas that run too."
    )


def test_with_lanes_a_retry_does_not_run_out_for_lack_of_room() -> None:
    edit, snapshot = _with_lanes(1, 1)
    retried = edit.with_values({("configuration", "retry"): True})
    assert warned(retried, snapshot) == []


def test_without_the_add_on_requests_of_what_stops_may_be_cut() -> None:
    for lanes, told in ((False, 1), (True, 0)):
        edit, snapshot = begun(lanes=lanes).with_replicas("0", 1), project(2)
        found = warnings_of(edit, outlook(edit, snapshot), snapshot, now=NOW)
        lines = [warning.line for warning in found if warning.key == "cut"]
        assert len(lines) == told
        assert all("without the placement add-on a replica stops with" in line for line in lines)
    more, snapshot = begun().with_replicas("0", 3), project(2)
    found = warnings_of(more, outlook(more, snapshot), snapshot, now=NOW)
    assert "cut" not in {warning.key for warning in found}
