"""Why a fleet has no room, as the add-on says it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from dstack._internal.core.models.fleets import FleetSpec
from dstack._internal.core.models.health import HealthStatus
from dstack._internal.core.models.instances import InstanceStatus
from dstack._internal.server.services import backends  # noqa: F401  # fleets can't be imported first

from dstack_placement.engine import Part
from dstack_placement.server.fleets import cordons, rooms
from dstack_placement.server.moving import reclaiming

SSH = {"ssh_config": {"user": "ada", "hosts": ["a", "b"]}}
CLOUD = {"nodes": "0..2"}
LOST = (InstanceStatus.IDLE, True)
BUSY = (InstanceStatus.BUSY, False)
FAILED = (InstanceStatus.TERMINATED, False)


def why(
    monkeypatch: pytest.MonkeyPatch,
    configuration: dict[str, Any],
    *hosts: tuple[InstanceStatus, bool],
    health: HealthStatus = HealthStatus.HEALTHY,
) -> str:
    """What is said of a fleet of some instances in which no offer is to be had."""
    spec = FleetSpec.model_validate(
        {"configuration": {"type": "fleet", "name": "lab", **configuration}, "profile": {}}
    )
    instances = [
        SimpleNamespace(status=status, unreachable=unreachable, health=health, total_blocks=1)
        for status, unreachable in hosts
    ]
    fleet: Any = SimpleNamespace(instances=instances)
    run: Any = SimpleNamespace(merged_profile=SimpleNamespace(creation_policy=None, instances=None))
    plan = rooms.dstack_plan
    monkeypatch.setattr(rooms, "spec_of", lambda model: spec)
    monkeypatch.setattr(plan, "get_instance_offers_from_instances", lambda **about: [])
    monkeypatch.setattr(plan, "get_run_profile_and_requirements_in_fleet", lambda **about: None)
    job: Any = object()
    room = rooms.room_of(fleet, run, {"0": job}, 0)
    assert bool(room.why) is (room.more == 0)
    return room.why


@pytest.mark.parametrize(
    ("configuration", "hosts", "said"),
    [
        (SSH, [LOST], "its host is unreachable"),
        (SSH, [LOST, LOST], "both hosts are unreachable"),
        (SSH, [BUSY, LOST], "none of its 2 hosts is idle: 1 busy, 1 unreachable"),
        (SSH, [BUSY, FAILED], "its host is busy"),
        (SSH, [FAILED], "it has no host"),
        (SSH, [(InstanceStatus.IDLE, False), LOST], "no idle host fits a replica"),
        (CLOUD, [BUSY, BUSY], "2 of at most 2 nodes exist, none is idle"),
        (CLOUD, [BUSY, LOST], "2 of at most 2 nodes exist, none is idle, 1 unreachable"),
    ],
)
def test_a_fleet_without_room_says_what_its_instances_are(
    monkeypatch: pytest.MonkeyPatch, configuration: Any, hosts: Any, said: str
) -> None:
    assert why(monkeypatch, configuration, *hosts) == said


def test_a_host_that_fails_its_health_check_is_not_called_idle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    idle = (InstanceStatus.IDLE, False)
    assert why(monkeypatch, SSH, idle, health=HealthStatus.FAILURE) == "its host is unhealthy"


def test_dstack_compares_only_instances_that_may_be_free(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def offers(instances: list[Any], **about: Any) -> list[Any]:
        asked.extend(instance.name for instance in instances)
        return []

    def instance(name: str, status: InstanceStatus, blocks: int | None, busy: int) -> Any:
        return SimpleNamespace(name=name, status=status, total_blocks=blocks, busy_blocks=busy)

    monkeypatch.setattr(rooms.dstack_plan, "get_instance_offers_from_instances", offers)
    monkeypatch.setattr(rooms, "_creatable", lambda *about: (0, ""))
    fleet: Any = SimpleNamespace(
        instances=[
            instance("idle", InstanceStatus.IDLE, 1, 0),
            instance("busy", InstanceStatus.BUSY, 1, 1),
            instance("starting", InstanceStatus.PROVISIONING, None, 0),
            instance("shared", InstanceStatus.BUSY, 4, 3),
            instance("full", InstanceStatus.BUSY, 4, 4),
        ]
    )
    job: Any = object()
    rooms.room_of(fleet, job, {"0": job}, 0)
    assert asked == ["idle", "shared"]


def test_each_group_has_a_reason_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group that the fleet never fits was said to wait for a node of it."""
    told = {"fits": (2, "8 of 10 exist"), "odd": (0, "no match"), "more": (1, "8 of 10 exist")}
    monkeypatch.setattr(
        rooms.dstack_plan, "get_instance_offers_from_instances", lambda instances, **about: []
    )
    monkeypatch.setattr(rooms, "_creatable", lambda fleet, run, job, cordoned: told[job])
    fleet: Any = SimpleNamespace(instances=[])
    samples: Any = {name: name for name in told}
    room = rooms.room_of(fleet, samples, samples, 0)
    assert (room.why, room.why_of) == ("8 of 10 exist", {"odd": "no match"})
    kept = rooms.room_of(fleet, samples, samples, 1)
    assert kept.why_of == {"odd": "no match, 1 promised to replicas that start"}


@pytest.mark.parametrize(("busy", "free"), [(-1, 4), (0, 4), (3, 1), (4, 0), (5, 0)])
def test_an_instance_has_no_more_free_blocks_than_blocks(
    monkeypatch: pytest.MonkeyPatch, busy: int, free: int
) -> None:
    """dstack has been seen to count one job off twice: `-1/1 busy`."""
    shared: Any = SimpleNamespace(
        id=1, status=InstanceStatus.BUSY, total_blocks=4, busy_blocks=busy
    )
    offers = [(shared, SimpleNamespace(blocks=1))]
    monkeypatch.setattr(
        rooms.dstack_plan,
        "get_instance_offers_from_instances",
        lambda instances, **about: offers if instances else [],
    )
    monkeypatch.setattr(rooms, "_creatable", lambda *about: (0, ""))
    fleet: Any = SimpleNamespace(instances=[shared])
    job: Any = object()
    assert rooms.room_of(fleet, job, {"0": job}, 0).more == free


def test_groups_have_room_on_unlike_instances(monkeypatch: pytest.MonkeyPatch) -> None:
    """What starts on the one takes nothing of the other."""
    here: list[Any] = [
        SimpleNamespace(id=1, status=InstanceStatus.IDLE, total_blocks=1, busy_blocks=0),
        SimpleNamespace(id=2, status=InstanceStatus.BUSY, total_blocks=8, busy_blocks=2),
    ]
    offers = {
        "front": [(here[0], SimpleNamespace(blocks=1))],
        "large": [(here[1], SimpleNamespace(blocks=4))],
        "small": [(here[0], SimpleNamespace(blocks=1)), (here[1], SimpleNamespace(blocks=1))],
    }
    monkeypatch.setattr(
        rooms.dstack_plan,
        "get_instance_offers_from_instances",
        lambda instances, run_spec, job, exclude_not_available: offers[job],
    )
    new = {"front": (2, ""), "large": (0, "no match"), "small": (2, "")}
    monkeypatch.setattr(rooms, "_creatable", lambda fleet, run, job, cordoned: new[job])
    fleet: Any = SimpleNamespace(instances=here)
    samples: Any = {name: name for name in offers}
    room = rooms.room_of(fleet, samples, samples, 0)
    assert room.parts == (
        Part(1, {"front": 1, "small": 1}),
        Part(6, {"large": 4, "small": 1}),
        Part(2, {"front": 1, "small": 1}),
    )
    assert (room.more, room.more_of) == (9, {"front": 3, "large": 1, "small": 9})
    kept = rooms.room_of(fleet, samples, samples, 1)
    assert (kept.more, kept.more_of) == (8, {"front": 2, "large": 0, "small": 8})


def test_what_is_cordoned_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def offers(instances: list[Any], **about: Any) -> list[Any]:
        asked.extend(instance.id for instance in instances)
        return []

    def instance(name: str) -> Any:
        return SimpleNamespace(
            id=name, status=InstanceStatus.IDLE, total_blocks=1, fleet_id="f", unreachable=False
        )

    monkeypatch.setattr(rooms.dstack_plan, "get_instance_offers_from_instances", offers)
    monkeypatch.setattr(rooms, "_creatable", lambda *about: (0, ""))
    fleet: Any = SimpleNamespace(id="f", instances=[instance("open"), instance("closed")])
    row: Any = SimpleNamespace(user="ada", reason="new driver", drains_since=None)
    job: Any = object()
    one: Any = cordons.Cordons(instances={"closed": row})  # type: ignore[dict-item]
    rooms.room_of(fleet, job, {"0": job}, 0, one)
    assert asked == ["open"]
    whole: Any = cordons.Cordons(fleets={"f": row})  # type: ignore[dict-item]
    room = rooms.room_of(fleet, job, {"0": job}, 0, whole)
    assert (room.more, room.why) == (0, "cordoned by ada: new driver")
    assert asked == ["open"]
    states = rooms._states(SimpleNamespace(instances=[fleet.instances[1]]), one)  # type: ignore[arg-type]
    assert states == ["cordoned"]


def test_a_job_meets_cordons_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job of a run that has its fleet waits for what is cordoned, a new run ends and says why."""
    row: Any = SimpleNamespace(user="ada", reason="", drains_since=None)
    own: Any = cordons.Cordons(fleets={"f": row}, instances={"i": row})  # type: ignore[dict-item]
    open_one: Any = SimpleNamespace(id="j", name="lab-1", fleet_id="g")
    closed: Any = SimpleNamespace(id="i", name="lab-0", fleet_id="g")
    fleet: Any = SimpleNamespace(id="f", name="gpu")
    lab: Any = SimpleNamespace(id="g", name="lab")
    new = cordons.jobs_submitted._NewCapacityAssignment(fleet_id="g")  # type: ignore[arg-type]
    monkeypatch.setattr(cordons, "spec_of", lambda fleet: None)
    monkeypatch.setattr(
        cordons, "can_create_new_cloud_instance_in_fleet", lambda fleet, spec: False
    )

    def met(attached: Any) -> Any:
        cordons._assigned.set(cordons._Assignment(own))
        assert cordons.candidates([fleet, lab]) == [lab]
        assert cordons.offered([closed, open_one]) == [open_one]
        context = SimpleNamespace(run_model=SimpleNamespace(fleet=attached))
        return cordons.settled(context, new)

    said = "fleet gpu is cordoned by ada; instance lab-0 is cordoned by ada"
    assert met(lab).log_message == said
    assert met(None).message == f"No other instance was found: {said}"
    cordons._assigned.set(None)
    assert cordons.offered([closed]) == [closed]
    assert cordons.settled(None, new) is new


def test_whose_address_others_hold() -> None:
    peers = ["run --head ${{ groups[0].replicas[1].IP_ADDRESS }}:7000"]
    groups = [{"name": "head", "replicas": 2}, {"name": "peers", "commands": peers}]
    jobs: Any = [("head", 5, "b"), ("head", 3, "a"), ("peers", 6, "c")]
    assert cordons.holders({"groups": groups}, jobs) == {"b": ("peers",)}


def test_nobody_gives_way_on_what_is_cordoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The place would be free for nobody."""
    row: Any = SimpleNamespace(user="ada", reason="", drains_since=None)
    instance = SimpleNamespace(id="i", fleet_id="f", total_blocks=1, busy_blocks=1)
    occupant: Any = SimpleNamespace(instance=instance)
    offers = [(None, SimpleNamespace(blocks=1))]
    monkeypatch.setattr(reclaiming, "get_job_runtime_data", lambda job: None)
    monkeypatch.setattr(
        reclaiming.dstack_plan, "get_instance_offers_from_instances", lambda **about: offers
    )
    sample: Any = object()

    def fits(**cordoned: Any) -> bool:
        return reclaiming._fits(sample, [sample], occupant, cordons.Cordons(**cordoned))

    assert fits()
    assert fits(fleets={"g": row})
    assert not fits(fleets={"f": row})
    assert not fits(instances={"i": row})
