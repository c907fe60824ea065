"""Reclaiming: who gives way to a minimum, to whom, and when nobody does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dstack_placement.engine import (
    Contender,
    Group,
    Lane,
    Occupant,
    Reclaim,
    Room,
    Service,
    after_failure,
    depends_on_rooms,
    foresee,
    is_reclaimable,
    needs_places,
    next_actions,
    next_reclaim,
    preview,
    stopping_order,
)
from tests.builders.contended_fleets import ContendedFleets, contended_fleets
from tests.builders.placement_cases import cases
from tests.builders.placement_services import NOW, all_ready, carry_out, service, where

_TWO = (Lane("reserved", min_replicas=2, priority=10), Lane("spot"))
_ONE = (Lane("reserved", min_replicas=1, priority=10), Lane("spot"))
_FULL = {"reserved": 0}


def _giving(state: Service, key: str) -> Service:
    """The service with one replica that gives way."""
    replicas = tuple(
        replace(each, gives_way_to="vision") if each.key == key else each for each in state.replicas
    )
    return replace(state, replicas=replicas)


def _contender(name: str, state: Service, *, priority: int = 0, **loads: float) -> Contender:
    there = {
        each.key: Occupant(NOW + timedelta(seconds=each.number), loads.get(each.key))
        for each in state.replicas
        if each.fleet == "reserved"
    }
    return Contender(name, priority, state, there)


def _chosen(
    *contenders: Contender, reclaim: Reclaim = Reclaim.ANY, priority: int = 10
) -> tuple[str, str, str] | None:
    found = next_reclaim(reclaim, priority, contenders, name="vision", fleet="reserved", now=NOW)
    return (found.name, found.key, found.to) if found is not None else None


def test_a_replica_gives_way_by_a_move() -> None:
    state = _giving(service(_ONE, 3, "reserved reserved reserved", room=_FULL), "r1")
    plan = next_actions(state, now=NOW)
    assert where(plan) == {"r0": "stay", "r1": "move spot", "r2": "stay"}
    assert plan.replicas[1].why == "gives way to vision, which is below its minimum in reserved"
    begun = carry_out(state, plan)
    assert where(next_actions(begun, now=NOW)) == dict.fromkeys(["r0", "r1", "r2", "r3"], "stay")
    ready = all_ready(begun)
    assert where(next_actions(ready, now=NOW))["r1"] == "stop"


def test_a_preview_has_the_move_once() -> None:
    state = _giving(service(_ONE, 3, "reserved reserved reserved"), "r0")
    assert where(preview(state, now=NOW)) == {"r0": "move spot", "r1": "stay", "r2": "stay"}


def test_a_replica_that_gives_way_needs_the_rooms() -> None:
    state = service(_ONE, 2, "reserved reserved")
    assert not depends_on_rooms(state)
    assert depends_on_rooms(_giving(state, "r0"))


def test_no_lane_gives_below_its_minimum() -> None:
    state = _giving(service(_TWO, 2, "reserved reserved", room=_FULL), "r1")
    assert where(next_actions(state, now=NOW)) == {"r0": "stay", "r1": "stay"}


def test_scaling_down_begins_with_the_one_that_gives_way() -> None:
    lanes = (Lane("reserved", 1, priority=10), Lane("spot"))
    state = _giving(service(lanes, 3, "reserved reserved spot"), "r0")
    assert [each.key for each in stopping_order(state, "0", now=NOW)] == ["r0", "r2", "r1"]
    # It stays for the minimum, and then the order is as ever.
    state = _giving(service(lanes, 2, "reserved spot"), "r0")
    assert [each.key for each in stopping_order(state, "0", now=NOW)] == ["r1", "r0"]


def test_the_lowest_priority_gives_way_then_the_least_load_then_the_newest() -> None:
    low = service(_ONE, 2, "reserved reserved", room=_FULL)
    high = service(_ONE, 3, "reserved reserved reserved", room=_FULL)
    a, b = _contender("a", low, priority=1), _contender("b", high, priority=5)
    assert _chosen(b, a) == ("a", "r1", "spot")
    assert _chosen(b) == ("b", "r2", "spot")
    assert _chosen(_contender("b", high, r0=3.0, r1=2.0, r2=8.0)) == ("b", "r1", "spot")
    # One whose load is not known may be the busiest.
    assert _chosen(_contender("b", high, r0=3.0)) == ("b", "r0", "spot")


def test_lower_takes_from_lower_priorities_only_and_off_from_none() -> None:
    state = service(_ONE, 2, "reserved reserved", room=_FULL)
    equal, lower = _contender("a", state, priority=10), _contender("b", state, priority=9)
    assert _chosen(equal, reclaim=Reclaim.LOWER) is None
    assert _chosen(equal, lower, reclaim=Reclaim.LOWER) == ("b", "r1", "spot")
    assert _chosen(equal, lower, reclaim=Reclaim.OFF) is None


@pytest.mark.parametrize(
    "state",
    [
        service(_TWO, 2, "reserved reserved"),
        service(_ONE, 2, "reserved reserved", room={"reserved": 0, "spot": 0}),
        service((Lane("reserved", priority=1),), 2, "reserved reserved"),
        service(_ONE, 2, "reserved reserved/starting"),
        service(_ONE, 2, "reserved reserved spot/stopping"),
        service(_ONE, 2, "reserved/ready/old reserved/ready/old"),
        service(_ONE, 3, "reserved reserved"),
        replace(
            service(_ONE, 2, "reserved reserved"),
            cooldowns={("", "spot"): after_failure(None, now=NOW, started=NOW)},
        ),
        replace(
            service(_ONE, 2, "reserved reserved"),
            groups=(Group(router=True, wanted=2),),
        ),
    ],
    ids=[
        "at its minimum",
        "no room elsewhere",
        "no other lane",
        "one starts",
        "one stops",
        "a rollout",
        "one is missing",
        "its other lane cools down",
        "routers",
    ],
)
def test_nobody_gives_way(state: Service) -> None:
    assert _chosen(_contender("a", state)) is None


def test_the_next_candidate_gives_way_where_the_first_finds_no_room() -> None:
    stuck = service(_ONE, 2, "reserved reserved", room={"reserved": 0, "spot": 0})
    free = service(_ONE, 2, "reserved reserved", room=_FULL)
    found = _chosen(_contender("a", stuck, priority=1), _contender("b", free, priority=5))
    assert found == ("b", "r1", "spot")


@pytest.mark.parametrize(
    ("state", "reclaimable"),
    [
        (service(_TWO, 2, "reserved spot", room=_FULL), True),
        (service(_TWO, 2, "reserved -", room={"reserved": 0, "spot": 0}), True),
        (service(_TWO, 2, "reserved spot", room={"reserved": 1}), False),
        (service(_TWO, 2, "reserved spot"), False),
        (service(_TWO, 2, "reserved reserved", room=_FULL), False),
        (service(_TWO, 1, "reserved", room=_FULL), False),
        (service(_TWO, 2, "reserved spot/ready/old", room=_FULL), False),
        (
            replace(
                service(_TWO, 2, "reserved spot", room=_FULL),
                cooldowns={("", "reserved"): after_failure(None, now=NOW, started=NOW)},
            ),
            False,
        ),
    ],
    ids=[
        "a replica elsewhere",
        "a replica that waits",
        "there is room",
        "the room is not known",
        "the minimum is held",
        "nobody to take the place",
        "a rollout",
        "a cooldown",
    ],
)
def test_what_is_reclaimable(state: Service, reclaimable: bool) -> None:
    assert is_reclaimable(state, "", "reserved", now=NOW) is reclaimable


def test_one_replica_does_not_take_the_places_of_two() -> None:
    lanes = (Lane("reserved", 1, priority=9), Lane("old", 1))
    state = service(lanes, 1, "-", room={"reserved": 0, "old": 0})
    assert is_reclaimable(state, "", "reserved", now=NOW)
    assert is_reclaimable(state, "", "old", now=NOW)
    assert not is_reclaimable(state, "", "old", now=NOW, coming=[("", "reserved")])
    # What is kept free for it after another has taken it in is of no use.
    there = service(lanes, 1, "reserved", room={"reserved": 0, "old": 1})
    assert not needs_places(there, [("", "old")], now=NOW)
    assert needs_places(state, [("", "old")], now=NOW)


def test_the_place_goes_to_the_minimum_and_stays_there() -> None:
    services = {
        "chat": service(_TWO, 4, "reserved reserved reserved reserved"),
        "vision": service(_TWO, 2, "reserved spot"),
    }
    played = ContendedFleets(
        {"reserved": 5, "spot": 9}, services, dict.fromkeys(services, Reclaim.ANY)
    )
    played.settle()
    assert played.workers("vision") == {"reserved": 2}
    assert played.workers("chat") == {"reserved": 3, "spot": 1}
    assert [(each.short, each.giver) for each in played.claimed] == [("vision", "chat")]
    assert not played.claims


def test_a_place_that_is_kept_goes_to_nobody_else() -> None:
    services = {
        "chat": service(_TWO, 3, "reserved reserved reserved"),
        "vision": service(_TWO, 2, "reserved spot"),
        # It wants the place too, and has not asked for it.
        "other": service((Lane("reserved", 1, priority=9), Lane("spot")), 1, "spot"),
    }
    keyed = {
        name: replace(
            each, replicas=tuple(replace(one, key=f"{name}{one.key}") for one in each.replicas)
        )
        for name, each in services.items()
    }
    reclaims = {"chat": Reclaim.OFF, "vision": Reclaim.ANY, "other": Reclaim.OFF}
    played = ContendedFleets({"reserved": 4, "spot": 9}, keyed, reclaims)
    played.settle()
    assert played.workers("vision") == {"reserved": 2}
    assert played.workers("other") == {"spot": 1}


@cases(contended_fleets(), most=150)
def test_reclaims_break_no_minimum_and_end(played: ContendedFleets) -> None:
    missing = played.missing()
    for _ in range(100):
        happened = False
        for name in played.services:
            held = {other: played.workers(other) for other in played.services}
            happened |= played.step(name)
            for other, state in played.services.items():
                for lane in state.lanes:
                    now = played.workers(other)[lane.fleet]
                    assert now >= min(lane.min_replicas, held[other][lane.fleet])
        if not happened:
            break
    else:
        raise AssertionError("the services don't come to rest")
    # Each reclaim restores one that was missing for good: no two services take turns.
    assert len(played.claimed) <= missing
    assert played.missing() <= missing - len(played.claimed)


@cases(contended_fleets(), most=60)
def test_nothing_is_left_to_reclaim_at_the_end(played: ContendedFleets) -> None:
    played.settle()
    assert not played.claims
    again = ContendedFleets(played.sizes, played.services, played.reclaims, played.priorities)
    again.settle()
    assert not again.claimed
    assert again.services == played.services


def test_room_of_single_groups_plays_no_part_in_what_is_reclaimable() -> None:
    state = service(_TWO, 2, "reserved spot", room={"reserved": Room(0, {"0": 0})})
    assert is_reclaimable(state, "", "reserved", now=NOW)


@cases(contended_fleets(), most=100)
def test_who_gives_way_is_foreseen(played: ContendedFleets) -> None:
    """With one service that reclaims, and nothing else to do, what is foreseen is what happens."""
    played.reclaims = dict.fromkeys(played.services, Reclaim.OFF)
    played.settle()
    name = next(iter(played.services))
    played.reclaims[name] = Reclaim.ANY
    seen = played.seen(name)
    contenders = {
        fleet: [played.contender(other, fleet) for other in played.services if other != name]
        for fleet in played.sizes
    }
    foresight = foresee(seen, Reclaim.ANY, 0, contenders, name=name, now=NOW)
    plan = preview(foresight.service, now=NOW)
    played.settle()
    said = [(way.fleet, way.reclaiming.name, way.reclaiming.key) for way in foresight.ways]
    assert said == [(each.fleet, each.giver, each.key) for each in played.claimed]
    foreseen = {lane.fleet: lane.after for lane in plan.lanes if lane.after}
    assert foreseen == dict(played.workers(name))
