"""What the headless commands print, held against docs/json.md."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from dstack_api_client.edits.history.past import PastDeployment
from dstack_api_client.edits.store.audit_log import ChangedField
from dstack_api_client.model.cordon import Cordon, Occupant
from dstack_api_client.model.guest import Guest
from dstack_fleets_tui.headless.get import collect, table
from dstack_fleets_tui.headless.kinds import KINDS
from dstack_fleets_tui.headless.looking import Look
from dstack_fleets_tui.output import payload
from tests.builders import sample_project
from tests.builders.documented_keys import documented, walk
from tests.builders.sample_look import LOOK, UNREAD, asked

#: What a documented type lets a value be.
TYPES = {
    "text": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "time": str,
    "object": dict,
    "list": list,
}


def cordoned(look: Look) -> Look:
    """The look with a fleet and an instance that are cordoned, and one of each that is drained."""
    made, cordons = look.snapshot, {}
    things = [*made.fleets.values()][:2] + [*made.instances.values()][:2]
    left = (Occupant("main", "chat", "service", 1, 0, "0", "gpu-1", "stay", None, "no room"),)
    for thing in things:
        drains = {"draining_since": made.observed_at, "left": left} if thing in things[::2] else {}
        number = getattr(thing, "num", None)
        cordon = Cordon(thing.id, "gpu", number, "ada", "new driver", made.observed_at)
        cordons[thing.id] = replace(cordon, **drains)
    return replace(look, snapshot=replace(made, cordons=cordons))


def lent(look: Look) -> Look:
    """The look with jobs of another project on its busy instances."""
    guests = {each.id: (Guest("guest", "train-0-0"),) for each in look.snapshot.instances.values()}
    return replace(look, snapshot=replace(look.snapshot, guests=guests))


def scheduled(look: Look) -> Look:
    """The look with a service that its schedule starts."""
    made = look.snapshot
    plain = replace(made.services["plain-id"], starts_at=made.observed_at)
    return replace(look, snapshot=replace(made, services={**made.services, plain.id: plain}))


def remembered(look: Look) -> Look:
    """The look with a deployment whose spec is kept, and what has changed since."""
    changed = (ChangedField("priority", "5", "9"),)
    return replace(
        look,
        past={
            each.id: PastDeployment(7, each, changed, changed, is_latest=False)
            for each in look.events
            if "Deployment: 7" in each.message
        },
    )


def items(kind: str) -> list[dict[str, Any]]:
    collected: list[dict[str, Any]] = collect(
        remembered(lent(cordoned(scheduled(LOOK)))), asked(kind, ended=True)
    )[kind]
    return collected


@pytest.mark.parametrize("kind", tuple(KINDS))
def test_every_key_is_documented_and_no_more(kind: str) -> None:
    rows = documented()[kind]
    printed = {path for item in items(kind) for path, _ in walk(item) if not path.endswith("[]")}
    assert printed == set(rows)


@pytest.mark.parametrize("kind", tuple(KINDS))
def test_every_value_is_of_its_documented_type(kind: str) -> None:
    rows = documented()[kind]
    seen_null, seen_value = set(), set()
    for item in items(kind):
        for path, value in walk(item):
            if path.endswith("[]"):
                assert "list of text" in rows[path[:-2]]
                assert isinstance(value, str)
                continue
            kinds = rows[path].split(" or ")
            if value is None:
                assert "null" in kinds, path
                seen_null.add(path)
                continue
            name = kinds[0].split(" ")[0]
            assert isinstance(value, TYPES[name]), path
            assert name == "boolean" or not isinstance(value, bool), path
            if name == "time":
                assert datetime.fromisoformat(str(value).replace("Z", "+00:00")).tzinfo, path
            seen_value.add(path)
    assert seen_value == set(rows), "each key has a value somewhere in the snapshot of the tests"
    assert seen_null == {path for path, kind_ in rows.items() if "null" in kind_}


@pytest.mark.parametrize("kind", tuple(KINDS))
def test_the_envelope(kind: str) -> None:
    whole = collect(LOOK, asked(kind))
    notes = ["notes"] if kind in ("problems", "metrics", "audit", "logs") else []
    assert list(whole) == ["version", "project", "observed_at", kind, *notes]
    assert {*whole, "notes"} - {kind} == set(documented()["envelope"])
    assert whole["version"] == 1
    assert whole["project"] == "main"
    assert whole["observed_at"] == "2026-05-01T12:00:00.250Z"


def test_a_fleet() -> None:
    (fleet,) = collect(LOOK, asked("fleets", "gpu-spot"))["fleets"]
    assert fleet["kind"] == "cloud"
    assert fleet["nodes"] == {"min": 0, "target": 1, "max": None}
    assert fleet["instances"] == {
        "total": 3,
        "by_state": {
            "pending": 0,
            "provisioning": 1,
            "idle": 0,
            "busy": 1,
            "unreachable": 1,
            "terminating": 0,
        },
        "unhealthy": 1,
    }
    assert fleet["gpus"] == {"name": "H100", "busy": 4.5, "total": 24}
    assert fleet["price_per_hour"] == 31.05
    assert fleet["created_at"] == "2026-04-19T12:00:00.000Z"


def test_since_when_is_not_known_of_a_worker_that_was_so_at_the_first_look() -> None:
    (router, _) = collect(LOOK, asked("router"))["router"]
    assert router["workers"][0]["since"] == "2026-05-01T11:58:00.000Z"
    view = LOOK.snapshot.routers["chat-id"]
    workers = (replace(view.workers[0], at_least=True), *view.workers[1:])
    routers = {"chat-id": replace(view, workers=workers)}
    look = replace(LOOK, snapshot=replace(LOOK.snapshot, routers=routers))
    (router,) = collect(look, asked("router"))["router"]
    assert router["workers"][0]["since"] is None
    assert " 2m " not in table(look, asked("router")).splitlines()[3]


def test_what_could_not_be_read_is_told_beside_the_problems() -> None:
    said = ["Router not read: plain. No way there."]
    assert collect(UNREAD, asked("problems"))["notes"] == said
    assert collect(UNREAD, asked("problems", "plain"))["notes"] == said
    assert collect(UNREAD, asked("problems", "chat"))["notes"] == []
    # Of a fleet, those of the services that have part in it.
    plain = UNREAD.snapshot.services["plain-id"]
    for fleet in UNREAD.snapshot.fleets.values():
        held = fleet.id in {share.fleet_id for share in plain.shares}
        assert collect(UNREAD, asked("problems", fleet.name))["notes"] == (said if held else [])


def test_a_service_with_a_router() -> None:
    (service,) = collect(LOOK, asked("services", "chat"))["services"]
    assert service["replicas"] == {"min": 3, "max": 6, "active": 4, "running": 3, "ready": 2}
    assert [(share["fleet"], share["running"], share["ready"]) for share in service["fleets"]] == [
        ("gpu-reserved", 2, 2),
        ("gpu-spot", 1, 0),
        (None, 0, 0),
    ]
    assert service["router"] == "smg"
    assert service["deployment"] == {"number": 7, "replicas": 3}


def test_what_has_ended_well_is_left_out() -> None:
    names = [s["name"] for s in collect(LOOK, asked("services"))["services"]]
    assert names == ["broken", "chat", "plain"]
    every = [s["name"] for s in collect(LOOK, asked("services", ended=True))["services"]]
    assert every == ["broken", "chat", "finished", "plain"]
    assert collect(LOOK, asked("services", "finished"))["services"][0]["status"] == "done"


def test_names_choose() -> None:
    instances = collect(LOOK, asked("instances", "gpu-reserved"))["instances"]
    assert [(i["fleet"], i["number"]) for i in instances] == [
        ("gpu-reserved", 0),
        ("gpu-reserved", 1),
    ]
    replicas = collect(LOOK, asked("replicas", "plain"))["replicas"]
    assert {r["service"] for r in replicas} == {"plain"}
    assert len(collect(LOOK, asked("replicas"))["replicas"]) > len(replicas)


def test_terminated_instances_are_left_out() -> None:
    statuses = {i["status"] for i in collect(LOOK, asked("instances"))["instances"]}
    assert "terminated" not in statuses
    assert "terminated" in {i.status for i in sample_project.SNAPSHOT.instances.values()}


@pytest.mark.parametrize("kind", tuple(KINDS))
def test_secrets_stay_inside(kind: str) -> None:
    assert sample_project.SECRET in str(
        [dict(s.spec) for s in sample_project.SNAPSHOT.services.values()]
        + [dict(f.spec) for f in sample_project.SNAPSHOT.fleets.values()]
    )
    assert sample_project.SECRET not in json.dumps(collect(LOOK, asked(kind, ended=True)))


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.1 + 0.2, "0.3"), (4.0, "4"), (0.0, "0"), (31.05, "31.05"), (1e-9, "0")],
)
def test_numbers(value: float, written: str) -> None:
    assert json.dumps(payload.number(value)) == written


@pytest.mark.parametrize("kind", ["services", "distribution"])
def test_a_rebalancing_that_is_under_way(kind: str) -> None:
    found = {each.get("service", each.get("name")): each["rebalancing"] for each in items(kind)}
    assert found["chat"] == {"since": "2026-05-01T11:56:00.000Z", "left": 2}
    assert found["plain"] is None
