"""Lanes in dstack's own models, and what the stock server makes of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from dstack_placement.engine import ServiceSpec
from tests.servers.lanes import in_process, service

DUMP = """
from dstack._internal.core.models.common import validate_extra_ignore
from dstack._internal.core.models.runs import RunSpec
answer = [
    validate_extra_ignore(RunSpec, {"configuration": each}).model_dump_json()
    for each in given
]
"""
ADDON = f"""
from dstack_placement.server import schema
schema.install()
everything, given = given, given["dump"]
{DUMP}
from dstack._internal.server.services.runs.spec import check_can_update_run_spec
from dstack_placement.server import planning, specs

def read(each):
    spec = RunSpec.model_validate(each)
    return [
        spec.model_dump(mode="json"),
        [[g.name, g.replicas.min, g.replicas.max] for g in spec.configuration.replica_groups],
        [fleet.format() for fleet in spec.merged_profile.fleets or []],
    ]

def read_drains(services):
    found = {{"limits": [], "refused": [], "stored": [], "changed": []}}
    for each in services:
        try:
            spec = RunSpec.model_validate({{"configuration": each}})
        except ValueError as error:
            found["refused"].append("30 minutes" in str(error) or "negative" in str(error))
            continue
        limits = [specs.drain_of(spec.configuration, group) for group in ("prefill", "gone")]
        found["limits"].append([limit.total_seconds() for limit in limits])
        dumped = json.loads(spec.model_dump_json())["configuration"]
        found["stored"].append([dumped.get("drain"), dumped["groups"][0].get("drain")])
    for new in (services[1], services[0]):
        first, second = (RunSpec.model_validate({{"configuration": e}}) for e in (services[0], new))
        diff = planning.check_can_update(check_can_update_run_spec, first, second)
        found["changed"].append(sorted(diff["configuration"]))
    return found

drains = read_drains(everything["drains"])
answer = {{"dump": answer, "read": [read(each) for each in everything["read"]], "drains": drains}}
"""


def _found(code: str, given: Any) -> Any:
    """What code finds of values, in a process of its own."""
    return in_process(f"import json\ngiven = json.loads({json.dumps(given)!r})\n{code}")


def _configurations(*specs: str) -> list[dict[str, Any]]:
    return [json.loads(spec)["configuration"] for spec in specs]


GROUPS: list[dict[str, Any]] = [
    {"name": "prefill", "replicas": 1, "commands": ["serve"]},
    {"name": "decode", "replicas": 2, "commands": ["serve"]},
]
GROUPED: dict[str, Any] = {"replicas": None, "commands": None, "fleets": None, "groups": GROUPS}


PLAIN = service("chat", fleets=["gpu-spot", "other/gpu"])
GROUPED_PLAIN = service("chat", **GROUPED)
WITH_LANES = service("chat")
RECLAIMS = service("chat", reclaim=False)
LANES = [{"name": "gpu-spot", "min_replicas": 1}]
GROUPS_WITH_LANES = service(
    "chat", **{**GROUPED, "groups": [{**group, "fleets": LANES} for group in GROUPS]}
)
LENT = service("chat", fleets=[{"name": "other/gpu", "min_replicas": 1}])


@dataclass(frozen=True)
class _Stored:
    """What the add-on stores, and what the stock server stores of the same and of that."""

    addon: list[str]
    stock: list[str]
    read_by_stock: list[str]
    of_names: list[str]
    reclaims: str


STORED = (PLAIN, GROUPED_PLAIN, WITH_LANES, GROUPS_WITH_LANES, LENT, RECLAIMS)


@pytest.fixture(scope="module")
def addon() -> dict[str, Any]:
    """What the add-on makes of all that this module has, in one process: to load it takes long."""
    found: dict[str, Any] = _found(ADDON, {"dump": STORED, "read": SPECS, "drains": DRAINING})
    return found


@pytest.fixture(scope="module")
def stored(addon: dict[str, Any]) -> _Stored:
    *dumped, reclaims = addon["dump"]
    by_name = {**WITH_LANES, "fleets": [lane["name"] for lane in WITH_LANES["fleets"]]}
    told = _found(DUMP, [*STORED[:2], *_configurations(*dumped[2:]), by_name, GROUPED_PLAIN])
    return _Stored(dumped, told[:2], told[2:5], told[5:], reclaims)


def test_a_service_without_lanes_is_stored_as_by_the_stock_server(stored: _Stored) -> None:
    assert stored.addon[:2] == stored.stock


def test_off_is_stored_as_it_is_written(stored: _Stored) -> None:
    assert _configurations(stored.reclaims)[0]["reclaim"] == "off"
    assert "reclaim" not in _configurations(stored.addon[2])[0]


def test_lanes_are_stored_and_the_stock_server_drops_them(stored: _Stored) -> None:
    plain, grouped, lent = _configurations(*stored.addon[2:])
    first, second = plain["fleets"]
    assert first["max_replicas"] == 1
    assert second == {"project": None, "name": "gpu-spot"}
    assert grouped["groups"][0]["fleets"] == [
        {"project": None, "name": "gpu-spot", "min_replicas": 1}
    ]
    assert lent["fleets"] == [{"project": "other", "name": "gpu", "min_replicas": 1}]

    *again, read_lent = stored.read_by_stock
    assert again == stored.of_names
    (configuration,) = _configurations(read_lent)
    assert configuration["fleets"] == [{"project": "other", "name": "gpu"}]


def test_it_must_come_before_dstacks_own_models() -> None:
    code = (
        "import dstack._internal.core.models.configurations\n"
        "from dstack_placement.server import schema\n"
        "from dstack_placement.server.errors import AddonError\n"
        "try:\n"
        "    schema.install()\n"
        "except AddonError as error:\n"
        "    answer = str(error)\n"
    )
    assert "Import the add-on before any other module of dstack." in in_process(code)


COUNTS: tuple[Any, ...] = (None, 2, "2", "1..4", "1 .. 4", "..4", {"min": 1, "max": 4}, {"max": 3})


def _specs() -> list[dict[str, Any]]:
    scaling = {"metric": "rps", "target": 1}
    ranged = ("1..4", "1 .. 4", "..4", {"min": 1, "max": 4}, {"max": 3})
    services = []
    for count in COUNTS:
        rule = scaling if count in ranged else None
        services.append(service("chat", replicas=count, scaling=rule))
        if count is None:
            continue
        group = {"replicas": count, "scaling": rule, "commands": ["serve"]}
        for key in ("groups", "replicas"):
            named = {"name": "decode", **group, "fleets": ["gpu", {"name": "a/b", "priority": 1}]}
            grouped = {**GROUPED, "groups": None, key: [group, {**named}]}
            services.append(service("chat", **grouped))
    profiles: tuple[Any, ...] = (None, {"name": "mine", "fleets": ["lent/far", "near"]})
    listed: tuple[Any, ...] = (None, [], ["own"], [{"name": "own", "max_replicas": 1}])
    return [
        {"configuration": {**each, "fleets": fleets}, "profile": profile}
        for each in services
        for profile in profiles
        for fleets in listed
    ]


SPECS = _specs()


def test_a_spec_is_read_as_dstack_reads_it(addon: dict[str, Any]) -> None:
    for spec, (stored, groups, fleets) in zip(SPECS, addon["read"], strict=True):
        for form in (spec, stored):
            read = ServiceSpec.of(form)
            assert [[g.name, g.least, g.greatest] for g in read.groups] == groups, form
            assert [lane.fleet for lane in read.lanes] == fleets, form
        assert read == ServiceSpec.of(spec)


PAIRS: tuple[tuple[Any, Any], ...] = (
    (None, None),
    ("2m", None),
    ("off", 45),
    (False, "off"),
    (True, "30m"),
    ("31m", None),
    (None, -1),
)
DRAINING = [
    service("chat", **{**GROUPED, "groups": [{**GROUPS[0], "drain": of_group}], "drain": whole})
    for whole, of_group in PAIRS
]


def test_a_drain_is_a_duration_of_the_service_or_of_a_group(addon: dict[str, Any]) -> None:
    found = addon["drains"]
    assert found["limits"] == [[30, 30], [120, 120], [45, 0], [0, 0], [1800, 30]]
    assert found["refused"] == [True, True]
    assert found["stored"] == [[None, None], [120, None], ["off", 45], ["off", "off"], [None, 1800]]
    assert found["changed"] == [["drain"], []]
