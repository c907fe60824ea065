"""Generated services, and the decorator for tests that take them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from dstack_placement.engine import Group, Lane, Replica, ReplicaState, Room, Service
from dstack_placement.engine.cooldown import after_failure
from tests.builders import generation
from tests.builders.placement_services import NOW


def cases(*strategies: st.SearchStrategy[Any], most: int = 100) -> Callable[..., Any]:
    """`given` with a bounded number of cases from a seed that is known."""

    def decorate(test: Callable[..., Any]) -> Callable[..., Any]:
        kept = settings(
            max_examples=generation.cases(most),
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow],
        )(given(*strategies)(test))
        return seed(generation.SEED)(kept)

    return decorate


FLEETS = ("a", "b", "c", "d")


@st.composite
def lane_lists(draw: st.DrawFn, *, least: int = 1) -> tuple[Lane, ...]:
    names = draw(st.permutations(FLEETS))[: draw(st.integers(least, len(FLEETS)))]
    lanes = []
    for name in names:
        minimum = draw(st.integers(0, 3))
        most = draw(st.none() | st.integers(minimum, 6))
        lanes.append(Lane(name, minimum, most, draw(st.integers(0, 3))))
    return tuple(lanes)


rooms = st.fixed_dictionaries(
    {}, optional={name: st.builds(Room, st.none() | st.integers(0, 5)) for name in FLEETS}
)


@st.composite
def services(
    draw: st.DrawFn,
    *,
    several: bool = True,
    placed: bool = False,
    cooling: bool = True,
    some_without: bool = False,
) -> Service:
    """A service in any state, such as edits, interruptions and failed starts leave behind.

    Args:
        draw: Given by hypothesis.
        several: With several groups, some with lanes of their own, and perhaps a router.
        placed: All replicas have a fleet of the lanes and are ready, of one deployment.
        cooling: Lanes may cool down.
        some_without: The service may have no lanes, so that only groups with their own have any.
    """
    lanes = () if some_without and draw(st.booleans()) else draw(lane_lists())
    names = ["one", "two", "router"][: draw(st.integers(1, 3))] if several else ["one"]
    groups = tuple(
        Group(
            name,
            wanted=1 if name == "router" else draw(st.integers(0, 6)),
            router=name == "router",
            lanes=draw(lane_lists() if not lanes and name == "one" else st.none() | lane_lists())
            if several
            else None,
        )
        for name in names
    )
    replicas: list[Replica] = []
    for group in groups:
        own = [lane.fleet for lane in group.lanes or lanes]
        for _ in range(draw(st.integers(0, 7 if not group.router else 1))):
            number = len(replicas)
            if placed:
                replicas.append(Replica(f"r{number}", number, group.name, fleet=_one(draw, own)))
                continue
            state = draw(st.sampled_from(ReplicaState))
            fleet = draw(st.sampled_from([*own, "gone"]))
            if state is ReplicaState.PENDING:
                fleet = draw(st.sampled_from([fleet, None]))
            replicas.append(
                Replica(f"r{number}", number, group.name, state, fleet, draw(st.booleans()))
                if several
                else Replica(f"r{number}", number, group.name, state, fleet)
            )
    pools = ["", *names]
    cooldowns = {
        (pool, name): after_failure(None, now=NOW, started=NOW, cause="no capacity")
        for pool in pools
        for name in (draw(st.sets(st.sampled_from(FLEETS), max_size=2)) if cooling else ())
    }
    return Service(lanes, groups, tuple(replicas), draw(rooms), cooldowns)


def _one(draw: st.DrawFn, fleets: list[str]) -> str:
    return draw(st.sampled_from(fleets))
