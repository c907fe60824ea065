"""What a what-if and the plan of a drain say is what the engine then does, step by step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from dstack_api_client.model.cordon import DrainPlan, Occupant
from dstack_api_client.whatif import GivingWay, loss_of, outcome_of_drain, what_if
from tests.builders.losing_fleets import LosingFleets, losing_fleets
from tests.builders.placement_cases import cases


@cases(losing_fleets(), most=120)
def test_what_is_foretold_of_lost_hosts_is_what_happens(world: LosingFleets) -> None:
    snapshot = world.snapshot()
    before = {name: _there(world, name) for name in world.fleets.services}
    outcomes = {
        each.service.name: each for each in what_if(snapshot, loss_of(snapshot, world.names))
    }
    world.play()
    for name, state in world.fleets.services.items():
        then = _there(world, name)
        found = outcomes.get(name)
        if found is None:
            assert then == before[name], f"{name} has nothing to do with it"
            continue
        assert found.ending is None, name
        assert found.waits == state.groups[0].wanted - then.total(), name
        broken = {
            lane.fleet: then[lane.fleet]
            for lane in state.lanes
            if then[lane.fleet] < min(lane.min_replicas, before[name][lane.fleet])
        }
        assert {each.fleet: each.held for each in found.broken} == broken, name
    ways = [way for each in outcomes.values() for way in each.reclaims]
    given = [way for each in outcomes.values() for way in each.gives]
    assert sorted(map(repr, ways)) == sorted(map(repr, given))
    assert _told(ways) == _claimed(world)


@cases(losing_fleets(whole_or_one=True), most=120)
def test_who_gives_way_in_the_plan_of_a_drain_does(world: LosingFleets) -> None:
    snapshot = world.snapshot()
    ((fleet, numbers),) = world.lost.items()
    occupants = [
        Occupant("main", name, "service", each.number, 0, "0", "", "move", None, "")
        for name, state in world.fleets.services.items()
        for each in state.replicas
        if each.key in world.there
    ]
    is_whole = len(numbers) == len(world.hosts[fleet])
    number = None if is_whole else next(iter(numbers))
    plan = DrainPlan(tuple(occupants), ())
    outcome = outcome_of_drain(snapshot, fleet, number, plan)
    world.drain()
    assert _told(outcome.gives) == _claimed(world)


def _told(ways: Iterable[GivingWay]) -> Counter[tuple[str, str, str]]:
    return Counter((way.short, way.fleet, way.service) for way in ways)


def _claimed(world: LosingFleets) -> Counter[tuple[str, str, str]]:
    claimed = world.fleets.claimed[world.claimed_before :]
    return Counter((each.short, each.fleet, each.giver) for each in claimed)


def _there(world: LosingFleets, name: str) -> Counter[str]:
    replicas = world.fleets.services[name].replicas
    return Counter(each.fleet for each in replicas if each.fleet is not None)
