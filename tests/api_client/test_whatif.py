"""What would be left of services without some capacity, or with more replicas."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from dstack_api_client.model.cordon import Cordon
from dstack_api_client.model.gpus import Gpus
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.whatif import (
    Broken,
    Ending,
    GivingWay,
    NoSuchPlaceError,
    Outcome,
    Start,
    loss_of,
    what_if,
)
from tests.builders import projects
from tests.builders.generation import SEED, cases
from tests.builders.projects import ADDON
from tests.builders.two_fleets import contended, project, service_on, spec, with_lanes


def _without(snapshot: Snapshot, *names: str) -> list[Outcome]:
    return what_if(snapshot, loss_of(snapshot, names))


def test_replicas_of_a_lost_fleet_start_where_there_is_room_and_the_rest_waits() -> None:
    snapshot = project(with_lanes(["own", "own", "spot", "spot"]), idle={"own": 1})
    (outcome,) = _without(snapshot, "spot")
    assert (outcome.now, outcome.lost, outcome.stays, outcome.waits) == (4, 2, 2, 1)
    assert outcome.starts == (Start("own", "0", 1, sure=True),)
    assert (outcome.broken, outcome.ending) == ((), None)
    assert "spot has no room, it is lost" in outcome.why
    assert outcome.price_after == 30.0


def test_a_minimum_that_a_loss_breaks_is_told_and_one_that_is_not_held_now_is_not() -> None:
    held = project(with_lanes(["own", "own", "spot"]), most={"spot": None, "own": 2})
    (outcome,) = _without(held, "own")
    assert outcome.broken == (Broken("", "own", 0, 2),)
    assert outcome.fails
    assert outcome.starts == (Start("spot", "0", 2, sure=False),)
    short = project(with_lanes(["own", "spot", "spot"]), most={"spot": None})
    (outcome,) = _without(short, "own")
    assert outcome.broken == (Broken("", "own", 0, 2),), "one was held, and none is then"
    none = project(with_lanes(["spot", "spot"]), most={"spot": 2, "own": 0})
    (outcome,) = _without(none, "spot/0")
    assert outcome.broken == ()


def test_an_idle_instance_that_is_cordoned_takes_nothing() -> None:
    snapshot = project(
        with_lanes(["own", "own", "own"]), idle={"own": 2}, most={"own": 5, "spot": 0}
    )
    one = next(each for each in snapshot.instances.values() if each.status == "idle")
    cordon = Cordon(one.id, "own", one.num, "ada", "", snapshot.observed_at)
    (outcome,) = _without(replace(snapshot, cordons={one.id: cordon}), "own/0", "own/1")
    assert (outcome.starts, outcome.waits) == ((Start("own", "0", 1, True),), 1)


def test_an_instance_is_replaced_where_another_may_be_beside_it() -> None:
    """dstack counts one that it can't reach as a node for 20 minutes."""
    roomy = project(with_lanes(["own", "own"]), most={"own": 3, "spot": 0})
    (outcome,) = _without(roomy, "own/1")
    assert (outcome.lost, outcome.starts, outcome.waits) == (1, (Start("own", "0", 1, True),), 0)
    snapshot = project(with_lanes(["own", "own"]), most={"own": 2, "spot": 0})
    (outcome,) = _without(snapshot, "own/1")
    assert (outcome.lost, outcome.starts, outcome.waits) == (1, (), 1)
    assert "own has no room, what is lost counts as a node until" in outcome.why
    assert outcome.broken == (Broken("", "own", 1, 2),)
    fleets = {key: replace(each, kind="ssh") for key, each in snapshot.fleets.items()}
    (outcome,) = _without(replace(snapshot, fleets=fleets), "own/1")
    assert (outcome.starts, outcome.waits) == ((), 1)
    assert outcome.broken == (Broken("", "own", 1, 2),)
    assert outcome.why.startswith("own has no room, its host is busy")


@pytest.mark.parametrize(
    ("retry", "ending"),
    [
        (None, Ending.NO_RETRY),
        ({"on_events": ["no-capacity"]}, Ending.NO_RETRY),
        ({"on_events": ["error"]}, Ending.NO_ROOM),
        (True, None),
    ],
)
def test_without_lanes_it_is_up_to_retry(retry: Any, ending: Ending | None) -> None:
    """A host on demand that goes is an error to `retry`."""
    plain = service_on("chat", ["own", "own"], spec(retry, replicas=2))
    (outcome,) = _without(project(plain, most={"own": 0, "spot": 0}), "own/0")
    assert outcome.ending is ending
    assert (outcome.stays, outcome.waits) == ((1, 1) if ending is None else (0, outcome.waits))
    assert outcome.fails == (ending is not None)


def test_without_lanes_and_without_a_replica_dstack_chooses_a_fleet_anew() -> None:
    plain = service_on("chat", ["own", "own"], spec(True))
    roomy = project(plain, most={"own": 2, "spot": 4})
    spotless = spec(True, spot_policy="auto")
    (outcome,) = _without(project(service_on("chat", ["own"], spotless), most={"spot": 4}), "own")
    assert outcome.starts == (Start(None, "0", 1, sure=False),)
    (outcome,) = _without(roomy, "own")
    assert (outcome.starts, outcome.waits) == ((), 2), "it takes no spot instance"
    assert outcome.ending is None, "its `retry` goes on for want of room too"


def test_with_lanes_nothing_ends_while_a_replica_lives_or_a_lane_takes_one() -> None:
    full = {"own": 0, "spot": 0}
    (outcome,) = _without(project(with_lanes(["own", "spot"]), most=full), "spot")
    assert (outcome.ending, outcome.waits) == (None, 1)
    (outcome,) = _without(project(with_lanes(["own", "own"]), most=full), "own")
    assert outcome.ending is Ending.NOTHING_LEFT
    (outcome,) = _without(project(with_lanes(["own", "own"]), most={"spot": 2}), "own")
    assert (outcome.ending, outcome.waits) == (None, 0)


def test_services_share_the_room_that_is_left_by_their_priorities() -> None:
    wish = spec(replicas=1, fleets=[{"name": "spot", "priority": 1}, "own"], spot_policy="auto")
    low = service_on("low", ["spot"], wish, has_lanes=True, priority=1)
    high = service_on("high", ["spot"], wish, has_lanes=True, priority=2)
    outcomes = _without(project(low, high, idle={"own": 1}, most={"own": 0}), "spot")
    assert [(each.service.name, each.waits, len(each.starts)) for each in outcomes] == [
        ("high", 0, 1),
        ("low", 1, 0),
    ]


def test_a_minimum_that_a_loss_breaks_takes_the_place_of_another_service() -> None:
    chat, vision = _without(contended("any", spot=2), "own/7")
    way = GivingWay("chat", 0, "own", "spot", "vision")
    assert (vision.service.name, vision.broken, vision.reclaims) == ("vision", (), (way,))
    assert vision.starts == (Start("own", "0", 1, sure=True),)
    assert (chat.lost, chat.stays, chat.moves, chat.gives) == (0, 3, 1, (way,))
    assert (chat.broken, chat.waits, chat.fails) == ((), 0, False)
    assert (vision.price_after, chat.price_after) == (10.0, 30.0)


@pytest.mark.parametrize(
    ("reclaim", "spot", "priority"),
    [("off", 2, 9), ("lower", 2, 5), ("any", 1, 9)],
    ids=["nobody has to", "not of lower priority", "no room to give way to"],
)
def test_nobody_gives_way_to_what_a_loss_breaks(reclaim: str, spot: int, priority: int) -> None:
    outcomes = _without(contended(reclaim, spot=spot, priority=priority), "own/7")
    assert [each.service.name for each in outcomes] == ["vision"]
    assert outcomes[0].broken == (Broken("", "own", 0, 1),)
    assert outcomes[0].reclaims == ()


def test_a_region_a_backend_and_all_spot() -> None:
    snapshot = project(with_lanes(["own", "own", "spot"]), most={"own": 9, "spot": 9})
    for name, lost in (("region:far", 1), ("region:NEAR", 2), ("backend:aws", 3), ("spot:", None)):
        if lost is None:
            with pytest.raises(NoSuchPlaceError):
                loss_of(snapshot, [name])
            continue
        (outcome,) = _without(snapshot, name)
        assert outcome.lost == lost, name
    (outcome,) = _without(snapshot, "backend:aws")
    assert outcome.waits == 3, "its fleets create instances nowhere else"
    renamed = {
        key: replace(each, name="cheap" if each.name == "spot" else each.name)
        for key, each in snapshot.fleets.items()
    }
    (outcome,) = _without(replace(snapshot, fleets=renamed), "spot")
    assert outcome.lost == 1


@pytest.mark.parametrize("gpus_first", [True, False])
def test_a_start_takes_room_of_those_only_that_could_have_had_it(gpus_first: bool) -> None:
    """A service on hosts with GPUs and one on hosts without them lose theirs, and share a fleet."""
    asks = {
        "serve": {"gpu": {"name": ["H100"], "count": {"min": 8, "max": 8}}},
        "front": {"gpu": {"count": {"min": 0, "max": 0}}, "cpu": {"count": {"min": 9, "max": 9}}},
    }
    hosts = {
        "serve": {"gpus": Gpus("H100", 8, 81_920, "nvidia"), "cpus": 96},
        "front": {"gpus": None, "cpus": 9},
    }
    services, there, ids = [], [], []
    for name, resources in asks.items():
        entries = [{"name": name, "priority": 9}, {"name": "both"}]
        lanes = projects.with_lanes(entries, 1)
        lanes["configuration"]["resources"] = resources
        runs = [projects.replica(0, name, service=name, instance_id=f"i-{name}")]
        made = projects.service(
            runs, [projects.group("0", 1)], name=name, spec=lanes, has_lanes=True,
            priority=int(gpus_first == (name == "serve")),
        )  # fmt: skip
        services.append((made, runs))
        (own,) = projects.instances(name, "busy", **hosts[name])
        (spare,) = projects.instances("both", "idle", **hosts[name])
        there += [replace(own, id=f"i-{name}"), replace(spare, id=f"i-both-{name}")]
        ids.append(f"i-both-{name}")
    fleets = [
        projects.fleet(name, kind="ssh", instance_ids=(f"i-{name}",), spot_policy=None)
        for name in asks
    ]
    fleets.append(projects.fleet("both", kind="ssh", instance_ids=tuple(ids), spot_policy=None))
    there = [replace(each, backend="remote", disk_mib=4_096_000) for each in there]
    snapshot = projects.project(*services, fleets=fleets, hosts=there, capabilities=ADDON)
    found = {each.service.name: each for each in _without(snapshot, "serve", "front")}
    for name in asks:
        assert found[name].starts == (Start("both", "0", 1, sure=True),), found[name].why


def test_names_that_are_none_are_refused_with_those_that_are() -> None:
    snapshot = project(with_lanes(["own", "spot"]))
    for name, known in (
        ("gpu", ("own", "spot")),
        ("own/7", ("own/0",)),
        ("own/x", ("own/0",)),
        ("/", ("own", "spot")),
        ("", ("own", "spot")),
        ("region:mars", ("region:far", "region:near")),
        ("backend:gcp", ("backend:aws",)),
    ):
        with pytest.raises(NoSuchPlaceError) as refused:
            loss_of(snapshot, [name])
        assert refused.value.known == known, name


def test_more_replicas_go_where_the_lanes_say_and_end_a_service_as_dstack_would() -> None:
    snapshot = project(with_lanes(["own", "own"]), most={"own": 4, "spot": 1})
    (outcome,) = what_if(snapshot, loss_of(snapshot, []), {"s-chat": {"0": 6}})
    assert (outcome.now, outcome.lost, outcome.stays, outcome.waits) == (2, 0, 2, 2)
    assert {each.fleet: each.count for each in outcome.starts} == {"own": 1, "spot": 1}
    plain = project(service_on("chat", ["own"], spec()), most={"own": 2})
    (outcome,) = what_if(plain, loss_of(plain, []), {"s-chat": {"0": 2}})
    assert (outcome.ending, outcome.starts) == (None, (Start("own", "0", 1, True),))
    (outcome,) = what_if(plain, loss_of(plain, []), {"s-chat": {"0": 3}})
    assert outcome.ending is Ending.NO_ROOM


@pytest.mark.generated
def test_whatever_is_lost_the_figures_agree_and_nothing_is_changed() -> None:
    for number in range(cases(150)):
        chance = random.Random(f"{SEED} {number}")
        places = [chance.choice(["own", "spot"]) for _ in range(chance.randrange(1, 7))]
        lanes = with_lanes(places, priority=chance.randrange(3))
        plain = service_on(
            "plain", ["own"] * chance.randrange(1, 3), spec(chance.choice([None, True]))
        )
        idle = {fleet: chance.randrange(3) for fleet in ("own", "spot")}
        most = {fleet: chance.choice([None, 0, 3, 9]) for fleet in ("own", "spot")}
        snapshot = project(lanes, plain, idle=idle, most=most)
        before = repr(snapshot)
        names = chance.sample(["own", "spot", "region:near", "backend:aws"], chance.randrange(1, 3))
        said = f"DSTACK_FLEETS_TESTS_SEED={SEED}, case {number}: {places}, {idle}, {most}, {names}"
        try:
            outcomes = _without(snapshot, *names)
        except NoSuchPlaceError:
            continue
        for each in outcomes:
            started = sum(start.count for start in each.starts)
            assert 0 < each.lost <= each.now, said
            if each.ending is None:
                assert each.stays == each.now - each.lost, said
                assert each.stays + started + each.waits == each.now, said
            gone = {name for name in names if name in ("own", "spot")}
            assert not gone & {start.fleet for start in each.starts}, said
        assert repr(snapshot) == before, said
        assert not [start for each in _without(snapshot, "own", "spot") for start in each.starts], (
            said
        )
