"""What a what-if says of lost hosts is what the engine then does, one step after the other."""

from __future__ import annotations

from collections import Counter

from dstack_api_client.whatif import loss_of, what_if
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
    claimed = world.fleets.claimed[world.claimed_before :]
    assert Counter((way.short, way.fleet, way.service) for way in ways) == Counter(
        (each.short, each.fleet, each.giver) for each in claimed
    )


def _there(world: LosingFleets, name: str) -> Counter[str]:
    replicas = world.fleets.services[name].replicas
    return Counter(each.fleet for each in replicas if each.fleet is not None)
