"""How services are spread: with the add-on's placement, with the engine's, and without lanes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dstack_api_client.analysis.distribution import distribution_of
from dstack_api_client.analysis.fleet_rows import Cell, Distribution, FleetRow
from dstack_api_client.model.capabilities import UNKNOWN, Capabilities
from dstack_api_client.model.replica import NO_CAPACITY, Attempt
from dstack_api_client.model.snapshot import Snapshot
from dstack_placement.engine import Lane
from tests.builders import projects
from tests.builders.projects import (
    ADDON,
    NOW,
    STOCK,
    ago,
    fleet,
    group,
    instances,
    lane,
    placed,
    placement,
    project,
    replica,
    service,
    with_lanes,
)


def spread(snapshot: Snapshot) -> Distribution:
    (only,) = snapshot.services.values()
    return distribution_of(snapshot, only)


def by_fleet(distribution: Distribution) -> dict[str | None, FleetRow]:
    return {row.fleet: row for row in distribution.rows}


class TestPlacedByTheServer:
    """With the add-on's endpoints."""

    def test_lanes_hold_what_the_snapshot_has_and_should_what_the_addon_says(self) -> None:
        replicas = [
            replica(0, "reserved"),
            replica(1, "reserved", ready=False),
            replica(2, "spot", "provisioning"),
            replica(3, "spot", "terminating"),
        ]
        snapshot = project(
            (service(replicas, [group("0", 3, 6)]), replicas),
            fleets=[fleet("reserved"), fleet("spot")],
            capabilities=ADDON,
            placements=[
                placement(
                    lane("reserved", min_replicas=2, max_replicas=4, priority=10, target=2,
                         reason="baseline 2 of 2"),
                    lane("spot", target=1, fallbacks=1, cooldown_until=NOW, reason="it failed"),
                    desired={"0": 3},
                    notes=["a note"],
                )
            ],
        )  # fmt: skip
        found = spread(snapshot)
        assert found.managed
        assert (found.wanted, found.running, found.ready, found.pending) == (3, 2, 1, 1)
        assert found.observed_at == ago(seconds=2)
        assert found.notes == ("a note",)
        assert [row.fleet for row in found.rows] == ["reserved", "spot"]
        reserved, spot = found.rows
        assert reserved.lane == Lane("reserved", 2, 4, 10)
        assert (reserved.target, reserved.running, reserved.ready) == (2, 2, 1)
        assert (reserved.fleet_id, reserved.price) == ("f-reserved", 20.0)
        assert (spot.pending, spot.stopping, spot.fallbacks) == (1, 1, 1)
        assert (spot.cooldown_until, spot.reason) == (NOW, "it failed")
        assert spot.groups == {"0": Cell(pending=1, stopping=1)}

    def test_a_deficit_keeps_since_when_and_why(self) -> None:
        short = lane("reserved", min_replicas=2, deficit=2, deficit_since=ago(minutes=3),
                     reason="baseline 0 of 2: no room")  # fmt: skip
        replicas = [replica(0, "spot")]
        snapshot = project(
            (service(replicas), replicas),
            placements=[
                placement(
                    short,
                    lane("spot", fallbacks=1),
                    replicas=[
                        placed(0, "spot", "fallback", "reserved has no room"),
                        placed(1, "spot", "fallback", "reserved has no room"),
                        placed(2, "spot", "priority", "next in line"),
                        placed(3, "reserved", "fallback", "of another lane"),
                    ],
                )
            ],
        )
        reserved, spot = spread(snapshot).rows
        assert (reserved.deficit, reserved.deficit_since) == (2, ago(minutes=3))
        assert reserved.fleet_id is None
        assert spot.fallback_causes == ("reserved has no room",)

    def test_a_lane_tells_the_causes_of_its_own_groups_only(self) -> None:
        replicas = [replica(0, "gpu", group="a"), replica(1, "gpu", group="b")]
        causes = [
            replace(placed(0, "gpu", "fallback", "full"), group="a"),
            replace(placed(1, "gpu", "fallback", "cools down"), group="b"),
        ]
        snapshot = project(
            (service(replicas, [group("a"), group("b")]), replicas),
            placements=[
                placement(
                    lane("gpu"),
                    lane("gpu", pool="b"),
                    pools={"a": "", "b": "b"},
                    replicas=causes,
                )
            ],
        )
        assert [row.fallback_causes for row in spread(snapshot).rows] == [
            ("full",),
            ("cools down",),
        ]

    def test_a_replica_without_an_instance_counts_where_it_was_placed(self) -> None:
        replicas = [replica(0, None, "submitted"), replica(1, None, "submitted")]
        snapshot = project(
            (service(replicas), replicas),
            placements=[
                placement(
                    lane("spot"),
                    replicas=[placed(0, "spot"), placed(1, None, None, "every lane is full")],
                )
            ],
        )
        spot, nowhere = spread(snapshot).rows
        assert (spot.fleet, spot.pending) == ("spot", 1)
        assert (nowhere.fleet, nowhere.pending) == (None, 1)
        assert nowhere.reason == "every lane is full"

    def test_a_group_with_lanes_of_its_own_shares_no_row(self) -> None:
        replicas = [
            replica(0, "gpu", group="prefill"),
            replica(1, "gpu", group="decode"),
            replica(2, "gpu", group="extra"),
        ]
        groups = [group("prefill"), group("decode"), group("extra")]
        snapshot = project(
            (service(replicas, groups), replicas),
            fleets=[fleet("gpu")],
            placements=[
                placement(
                    lane("gpu", target=1),
                    lane("gpu", pool="decode", target=1),
                    pools={"prefill": "", "decode": "decode", "extra": ""},
                )
            ],
        )
        shared, own = spread(snapshot).rows
        assert (shared.pool, list(shared.groups)) == ("", ["prefill", "extra"])
        assert (own.pool, list(own.groups)) == ("decode", ["decode"])

    def test_what_is_in_no_lane_comes_last_with_the_reason(self) -> None:
        replicas = [
            replica(0, "old"),
            replica(1, "older"),
            replica(2, "older"),
            replica(3, "own", group="alone"),
            replica(4, None, "submitted", status_message="no capacity"),
        ]
        snapshot = project(
            (service(replicas, [group("0"), group("alone")]), replicas),
            fleets=[fleet("old")],
            placements=[
                placement(
                    lane("new"),
                    pools={"0": "", "alone": None},
                    # What is no longer a lane is named by its id.
                    replicas=[placed(0, "f-old")],
                )
            ],
        )
        found = spread(snapshot)
        assert [row.fleet for row in found.rows] == ["new", "older", "old", "own", None]
        rows = by_fleet(found)
        assert rows["older"].reason == "no lane any more: its replicas move to the lanes"
        assert rows["own"].reason == "placed by the server's own rule"
        assert rows[None].reason == "no capacity"
        assert rows["older"].target is None

    def test_causes_of_waiting_are_told_with_whom_they_hold_back(self) -> None:
        replicas = [replica(num, None, "submitted") for num in range(3)]
        snapshot = project(
            (service(replicas), replicas),
            placements=[
                placement(
                    lane("spot"),
                    replicas=[
                        placed(0, None, None, "full"),
                        placed(1, None, None, "full"),
                        placed(2, None, None, "cools down"),
                    ],
                )
            ],
        )
        assert spread(snapshot).rows[-1].reason == "0, 1: full; 2: cools down"


class TestWorkedOutHere:
    """Lanes in the spec, and no word of the server."""

    def test_targets_come_from_the_engine(self) -> None:
        replicas = [replica(0, "spot"), replica(1, "spot"), replica(2, "spot")]
        lanes = [{"name": "reserved", "min_replicas": 1, "priority": 10}, {"name": "spot"}]
        snapshot = project(
            (service(replicas, spec=with_lanes(lanes, 3)), replicas),
            fleets=[fleet("reserved", nodes_max=2), fleet("spot", nodes_max=9)],
            hosts=[*instances("reserved", "idle"), *instances("spot", "busy", "busy", "busy")],
            capabilities=Capabilities("0.22.5", lanes=True),
        )
        found = spread(snapshot)
        assert found.managed
        assert found.wanted == 3
        assert [(row.fleet, row.target, row.running) for row in found.rows] == [
            ("reserved", 2, 0),
            ("spot", 1, 3),
        ]
        assert found.rows[0].deficit == 1
        assert found.rows[0].reason.startswith("baseline 0 of 1")
        assert "worked out here" in found.notes[0]

    def test_a_full_fleet_says_so(self) -> None:
        replicas = [replica(0, "reserved"), replica(1, None, "submitted")]
        lanes = [{"name": "reserved", "priority": 1}]
        snapshot = project(
            (service(replicas, spec=with_lanes(lanes, 2)), replicas),
            fleets=[fleet("reserved", nodes_max=1)],
            hosts=instances("reserved", "busy"),
        )
        reserved, nowhere = spread(snapshot).rows
        assert (reserved.target, nowhere.pending) == (1, 1)
        assert "1 of at most 1 node exists, none is idle" in reserved.reason

    @pytest.mark.parametrize(
        ("hosts", "target"),
        [
            (["idle", "idle"], 2),
            (["idle", "busy"], 1),
            (["busy", "busy"], 0),
        ],
    )
    def test_hosts_hold_what_is_idle(self, hosts: list[str], target: int) -> None:
        replicas = [replica(0, None, "submitted"), replica(1, None, "submitted")]
        snapshot = project(
            (service(replicas, spec=with_lanes([{"name": "lab", "priority": 1}], 2)), replicas),
            fleets=[fleet("lab", kind="ssh", nodes_min=2, nodes_max=2)],
            hosts=instances("lab", *hosts),
        )
        assert spread(snapshot).rows[0].target == target

    @pytest.mark.parametrize(
        ("changes", "target"),
        [
            ({"unreachable": True}, 0),
            ({"health": "failure"}, 0),
            ({"health": "warning"}, 1),
            ({"total_blocks": 4, "busy_blocks": 1, "status": "busy"}, 3),
            ({"total_blocks": 4, "busy_blocks": 0}, 4),
        ],
    )
    def test_only_instances_that_can_take_one_are_room(
        self, changes: dict[str, Any], target: int
    ) -> None:
        replicas = [replica(num, None, "submitted") for num in range(5)]
        lanes = with_lanes([{"name": "lab", "priority": 1}], 5)
        snapshot = project(
            (service(replicas, spec=lanes), replicas),
            fleets=[fleet("lab", kind="ssh")],
            hosts=instances("lab", "idle", **changes),
        )
        assert spread(snapshot).rows[0].target == target

    def test_lanes_of_a_profile_count_too(self) -> None:
        replicas = [replica(0, "spot")]
        spec = {
            "configuration": {"type": "service", "replicas": 1, "fleets": None},
            "profile": {"fleets": [{"name": "spot", "min_replicas": 1}]},
        }
        snapshot = project((service(replicas, spec=spec), replicas))
        assert spread(snapshot).rows[0].minimum == 1

    def test_what_an_autoscaler_wants_is_not_known(self) -> None:
        replicas = [replica(0, "spot")]
        spec = with_lanes([{"name": "spot", "priority": 1}], 1, 5)
        snapshot = project((service(replicas, [group("0", 1, 5)], spec=spec), replicas))
        found = spread(snapshot)
        assert found.wanted is None
        assert "autoscaler" in " ".join(found.notes)

    def test_notes_of_the_engine_are_plain_text(self) -> None:
        replicas = [replica(0, "spot")]
        spec = with_lanes([{"name": "spot", "min_replicas": 1}, "nowhere"], 1)
        found = spread(project((service(replicas, spec=spec), replicas)))
        assert len(found.notes) > 1
        assert {type(note) for note in found.notes} == {str}, "YAML writes no other kind"

    def test_lanes_that_break_a_rule_are_told(self) -> None:
        replicas = [replica(0, "spot")]
        spec = with_lanes([{"name": "spot", "min_replicas": 9}], 1)
        found = spread(project((service(replicas, spec=spec), replicas)))
        assert not found.managed
        assert "The lanes in the spec can't be read" in found.notes[-1]
        assert "add up to 9" in found.notes[-1]


class TestWithoutLanes:
    """The stock server's own rule: one fleet for all."""

    def test_one_fleet_with_what_is_wanted(self) -> None:
        replicas = [replica(0, "gpu"), replica(1, "gpu"), replica(2, None, "submitted")]
        snapshot = project(
            (service(replicas, [group("0", 3)], fleet_name="gpu"), replicas), fleets=[fleet("gpu")]
        )
        found = spread(snapshot)
        assert not found.managed
        assert (found.wanted, found.running, found.pending) == (3, 2, 1)
        gpu, nowhere = found.rows
        assert (gpu.fleet, gpu.fleet_id, gpu.target, gpu.running) == ("gpu", "f-gpu", 3, 2)
        assert gpu.lane is None
        assert gpu.reason == (
            "one fleet is to hold all replicas; 1 replica without a place: 2: waits for a place"
        )
        assert (nowhere.fleet, nowhere.target) == (None, None)

    @pytest.mark.parametrize("autoscaled", [False, True])
    @pytest.mark.parametrize("status", ["submitted", "terminating", "failed"])
    def test_one_that_looks_for_a_place_again_is_told_with_the_cause(
        self, status: str, autoscaled: bool
    ) -> None:
        """Between two attempts too, when no submission of it is active."""
        full = "Fleet is at capacity"
        now = {} if status == "submitted" else {"termination_reason": NO_CAPACITY}
        replicas = [
            replica(0, "gpu", group="decode"),
            replica(
                1,
                None,
                status,
                group="prefill",
                earlier=(Attempt(ago(minutes=9), NO_CAPACITY, full),),
                termination_message=full if now else None,
                **now,
            ),
        ]
        groups = [group("decode", 1, 2 if autoscaled else 1), group("prefill", 1)]
        chat = service(replicas, groups, fleet_name="gpu")
        found = spread(project((chat, replicas), fleets=[fleet("gpu")]))
        assert by_fleet(found)["gpu"].reason == (
            "one fleet is to hold all replicas; 1 replica without a place: prefill 1: no capacity"
            f" ({full})"
        )

    def test_the_chosen_fleet_stands_there_before_it_holds_anything(self) -> None:
        replicas = [replica(0, None, "submitted")]
        snapshot = project((service(replicas, fleet_name="gpu"), replicas), fleets=[fleet("gpu")])
        assert [(row.fleet, row.target) for row in spread(snapshot).rows] == [
            ("gpu", 1),
            (None, None),
        ]

    def test_more_than_wanted_is_told(self) -> None:
        replicas = [replica(0), replica(1)]
        found = spread(project((service(replicas, [group("0", 1)]), replicas)))
        assert found.rows[0].reason == "one fleet holds all replicas; 1 replica more than desired"

    @pytest.mark.parametrize(
        ("capabilities", "words"),
        [
            (STOCK, "no placement add-on"),
            (ADDON, "No lane of this service"),
            (UNKNOWN, "is not known"),
        ],
    )
    def test_why_the_rest_is_not_known(self, capabilities: Capabilities, words: str) -> None:
        replicas = [replica(0)]
        found = spread(project((service(replicas), replicas), capabilities=capabilities))
        assert words in found.notes[0]

    def test_the_addon_tells_what_an_autoscaler_wants(self) -> None:
        replicas = [replica(0)]
        running = service(replicas, [group("0", 1, 5)])
        alone = project((running, replicas))
        told = project(
            (running, replicas),
            capabilities=ADDON,
            placements=[placement(managed=False, desired={"0": 4})],
        )
        assert (spread(alone).wanted, spread(alone).rows[0].target) == (None, None)
        assert (spread(told).wanted, spread(told).rows[0].target) == (4, 4)

    def test_a_service_that_has_ended_wants_nothing(self) -> None:
        replicas = [replica(0, "gpu", "failed", ready=False)]
        ended = service(replicas, [group("0", 3)], status="failed", fleet_name="gpu")
        found = spread(project((ended, replicas)))
        assert (found.wanted, found.rows) == (0, ())

    @pytest.mark.parametrize("lanes", ["told", "worked out", "none"])
    def test_a_service_that_is_ending_starts_nothing(self, lanes: str) -> None:
        """It said what its lanes would start, and that others look for a place."""
        spec = with_lanes([{"name": "gpu", "min_replicas": 2}, "spot"], 3)
        replicas = [
            replica(0, "gpu", "terminating"),
            replica(1, None, "submitted", ready=False),
            replica(2, None, "failed", ready=False, termination_reason=NO_CAPACITY),
        ]
        ending = service(
            replicas,
            [group("0", 3)],
            status="terminating",
            fleet_name="gpu",
            **({} if lanes == "none" else {"spec": spec}),
        )
        told = [placement(lane("gpu", deficit=2, target=3, reason="1 more to come"))]
        found = spread(
            project(
                (ending, replicas),
                fleets=[fleet("gpu"), fleet("spot")],
                capabilities=ADDON,
                placements=told if lanes == "told" else [],
            )
        )
        assert (found.wanted, sum(row.stopping for row in found.rows)) == (0, 1)
        assert {row.target for row in found.rows} <= {0, None}
        assert [row.reason for row in found.rows if row.reason or row.deficit] == []
        assert found.notes == ("The service is ending: its replicas stop, and none is started.",)


STATUSES = ("submitted", "provisioning", "pulling", "running", "terminating", "failed")


@given(
    held=st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c", None]),
            st.sampled_from(STATUSES),
            st.booleans(),
            st.sampled_from(["0", "1"]),
        ),
        max_size=12,
    ),
    how=st.sampled_from(["placed", "previewed", "stock"]),
)
def test_nothing_is_lost_and_nothing_counted_twice(
    held: list[tuple[str | None, str, bool, str]], how: str
) -> None:
    replicas = [
        replica(num, at, status, ready=ready and status == "running", group=name)
        for num, (at, status, ready, name) in enumerate(held)
    ]
    lanes = [{"name": "a", "priority": 1}, {"name": "b"}]
    groups = [group("0", 1, 20), group("1", 1, 20)]
    spec = with_lanes(lanes, 1, 20) if how == "previewed" else {}
    snapshot = project(
        (service(replicas, groups, spec=spec), replicas),
        placements=[placement(lane("a"), lane("b"), pools={"0": "", "1": ""})]
        if how == "placed"
        else (),
    )
    found = spread(snapshot)
    assert found.managed == (how != "stock")
    active = [each for each in replicas if each.active]
    assert found.running == sum(each.status == "running" for each in active)
    assert found.ready == sum(each.ready for each in active)
    assert found.pending == sum(each.status in STATUSES[:3] for each in active)
    assert sum(row.stopping for row in found.rows) == sum(
        each.status == "terminating" for each in active
    )
    assert found.price == pytest.approx(sum(each.price or 0.0 for each in active))
    for row in found.rows:
        cells = row.groups.values()
        assert (row.running, row.ready, row.pending, row.stopping) == (
            sum(cell.running for cell in cells),
            sum(cell.ready for cell in cells),
            sum(cell.pending for cell in cells),
            sum(cell.stopping for cell in cells),
        )
        here = Counter(each.status for each in active if each.fleet_name == row.fleet)
        assert row.running == here["running"]
    places = [(row.pool, row.fleet) for row in found.rows]
    assert len(set(places)) == len(places)
    if how == "stock":
        assert None not in [row.fleet for row in found.rows[:-1]]


def test_a_rebalancing_that_goes_on_is_said_first() -> None:
    replicas = [projects.replica(0, "cold")]
    service = projects.service(replicas)
    placed = projects.placement(projects.lane("cold"), rebalancing_left=3, notes=["More."])
    snapshot = projects.project((service, replicas), placements=[placed])
    notes = distribution_of(snapshot, service).notes
    said = (
        "A rebalancing is under way, 3 replicas to move. It began at 14:01:31 UTC;"
        " `dstack-fleets-tui rebalance chat --cancel` ends it."
    )
    assert notes == (said, "More.")
