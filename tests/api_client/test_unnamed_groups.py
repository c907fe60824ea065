"""Groups that nobody named, as in dstack's examples: what they are called, everywhere."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dstack_api_client.analysis.distribution import distribution_of
from dstack_api_client.edits.base.difference import difference
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.model.labels import group_label, labels_of, replica_name
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.watch import Kind, problems_of
from dstack_fleets_tui.headless.kinds import distribution, replicas
from dstack_fleets_tui.tables import distribution as table
from dstack_fleets_tui.tables import replicas as list_of_replicas
from dstack_fleets_tui.tables import services
from dstack_fleets_tui.tables.looks import Looks
from dstack_widgets.drawing.text import told_apart
from dstack_widgets.table.cells import plain_text
from tests.builders import projects, service_edits
from tests.builders.projects import NOW


@pytest.mark.parametrize(
    ("name", "role", "label"),
    [
        ("1", "prefill", "1 prefill"),
        ("0", "router", "0 router"),
        ("2", "regular", "2"),
        ("2", None, "2"),
        ("pool-a", "decode", "pool-a"),
    ],
)
def test_what_a_group_is_called(name: str, role: str | None, label: str) -> None:
    assert group_label(name, role) == label


def test_one_group_without_a_name_is_called_nothing() -> None:
    assert labels_of([projects.group("0", 3)]) == {}
    assert labels_of([projects.group("main", 3)]) == {"main": "main"}


def test_a_number_alone_and_a_count_are_told_apart() -> None:
    groups = [projects.group("0", 2), projects.group("east", 1), projects.group("2", 1)]
    places = [(0, "0"), (1, "0"), (2, "east"), (3, "2")]
    there = [projects.replica(number, group=group) for number, group in places]
    snapshot = projects.project((projects.service(there, groups), there))
    service = chat(snapshot)
    assert services.groups(service) == "group 0 2/2, east 1/1, group 2 1/1"
    rows = [*distribution.cells(distribution_of(snapshot, service), service, snapshot)]
    assert [row[10] for row in rows] == ["group 0 2, east 1, group 2 1"]
    (fleet,) = distribution_of(snapshot, service).rows
    assert "  group 0 2, east 1, group 2 1" in table.summary(
        fleet, distribution_of(snapshot, service).labels, Looks(NOW)
    )


def test_a_plan_names_a_group_with_a_number_alone() -> None:
    groups = [service_edits.group("0"), service_edits.group("1")]
    edit = ServiceEdit.begin(service_edits.base(groups=groups, replicas=None), projects.STOCK)
    after = edit.with_group("1", spot_policy="spot")
    (change,) = difference(edit.base.spec, after.spec, "service", projects.STOCK)
    assert change.note == "replicas of group 1, one at a time"


def disaggregated() -> Snapshot:
    """As in dstack's example: a router, a prefill and two decode workers, one of them waiting."""
    groups = [
        projects.group("0", 1, router="smg"),
        replace(projects.group("1", 1), role="prefill"),
        replace(projects.group("2", 2), role="decode"),
    ]
    replicas = [
        projects.replica(0, group="0", role="router", is_router=True),
        projects.replica(1, group="1", role="prefill"),
        projects.replica(2, group="2", role="decode"),
        projects.replica(
            3, None, "submitted", group="2", role="decode", submitted_at=NOW - timedelta(hours=1)
        ),
    ]
    return projects.project(
        (projects.service(replicas, groups, fleet_name="gpu"), replicas),
        fleets=[projects.fleet("gpu")],
    )


def chat(snapshot: Snapshot) -> Service:
    return snapshot.services["s-chat"]


def test_replicas_have_a_column_of_their_group() -> None:
    snapshot = disaggregated()
    assert "group" in [column.key for column in list_of_replicas.columns(chat(snapshot))]
    seen = list_of_replicas.Seen(
        snapshot.replicas[chat(snapshot).replica_keys[1]],
        None,
        0,
        True,
        True,
        False,
        None,
        None,
        None,
    )
    assert plain_text(list_of_replicas.cells(seen, Looks(NOW))[1]) == "1 prefill"
    rows = [replicas.cells(replica, snapshot) for replica in snapshot.replicas.values()]
    assert [row[2] for row in rows] == ["0 router", "1 prefill", "2 decode", "2 decode"]
    names = [replica_name(replica) for replica in snapshot.replicas.values()]
    assert names == ["router 0", "prefill 1", "decode 2", "decode 3"]


def test_distribution_tells_what_each_group_does() -> None:
    snapshot = disaggregated()
    spread = distribution_of(snapshot, chat(snapshot))
    titles = [column.title for column in table.shape(spread, 160).columns]
    assert titles[-5:-2] == ["0 ROUTER", "1 PREFILL", "2 DECODE"]
    lines = [content.plain for content in table.group_line(spread, Looks(NOW))]
    assert [line.split("  ")[0][:9].strip() for line in lines] == [
        "0 router",
        "1 prefill",
        "2 decode",
    ]
    row = next(iter(distribution.cells(spread, chat(snapshot), snapshot)))
    assert row[10] == "0 router 1, 1 prefill 1, 2 decode 1"
    assert services.groups(chat(snapshot)) == "0 router 1/1 (smg), 1 prefill 1/1, 2 decode 1/2"


def test_lanes_that_a_group_has_for_itself_name_it_by_what_it_does() -> None:
    snapshot = disaggregated()
    short = projects.lane(
        "gpu", pool="1", min_replicas=2, target=2, running=1, deficit=1, reason="gpu has no room"
    )
    placement = projects.placement(short, pools={"0": None, "1": "1", "2": None})
    snapshot = replace(snapshot, placements={"s-chat": placement})
    spread = distribution_of(snapshot, chat(snapshot))
    shape = table.shape(spread, 160)
    at = [column.key for column in shape.columns].index("pool")
    lane = spread.rows[0]
    assert plain_text(table.cells(lane, shape, Looks(NOW))[at]) == "1 prefill"
    assert "lanes of 1 prefill" in table.summary(lane, spread.labels, Looks(NOW))
    assert table.findings(spread, Looks(NOW))[0].subject == "1 prefill/gpu"
    assert next(iter(distribution.cells(spread, chat(snapshot), snapshot)))[3] == "1 prefill"
    (baseline,) = [each for each in problems_of(snapshot, NOW) if each.kind is Kind.BASELINE]
    assert baseline.text.startswith("1 prefill/gpu: baseline 1 of 2")


def test_problems_name_the_replica_by_what_it_does() -> None:
    assert "decode 3: no place yet" in [each.text for each in problems_of(disaggregated(), NOW)]


@pytest.mark.parametrize(
    ("names", "cut"),
    [
        (["prefill", "decode"], ["prefill", "decode"]),
        (["prefill-of-large", "decode-of-large"], ["prefill-of-…", "decode-of-l…"]),
        (["decode-large-a", "decode-large-b"], ["decod…arge-a", "decod…arge-b"]),
        (["decode-of-12-a", "decode-of-12-a"], ["decode-of-1…", "decode-of-1…"]),
        (["aaaaaaax-aaaaaaaa", "aaaaaaay-aaaaaaaa"], ["aaaaaaax-aa…", "aaaaaaay-aa…"]),
        (
            ["worker-eu-west-prefill", "worker-us-west-prefill"],
            ["worker-eu-w…", "worker-us-w…"],
        ),
        (
            ["aaaaaaaaaaaaaaX-aaaaaaaaaaaa", "aaaaaaaaaaaaaaY-aaaaaaaaaaaa"],
            ["aaaaaaaaaaaaaaX-aaaaaaaaaaaa", "aaaaaaaaaaaaaaY-aaaaaaaaaaaa"],
        ),
    ],
)
def test_long_names_keep_what_tells_them_apart(names: list[str], cut: list[str]) -> None:
    assert told_apart(names, 12) == cut
