"""Lanes in dstack's own models, and what the stock server makes of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from dstack_placement.engine import ServiceSpec
from tests.builders.written_services import GROUPED_PLAIN, SPECS, STORED, WITH_LANES
from tests.servers.findings import findings
from tests.servers.lanes import in_process

STOCK = """
from dstack._internal.core.models.common import validate_extra_ignore
from dstack._internal.core.models.runs import RunSpec
answer = {"refused": "", "dump": [
    validate_extra_ignore(RunSpec, {"configuration": each}).model_dump_json()
    for each in given
]}
from dstack_placement.server.compat import schema
from dstack_placement.server.errors import AddonError
try:
    schema.install()
except AddonError as error:
    answer["refused"] = str(error)
"""


def _found(code: str, given: Any) -> Any:
    """What code finds of values, in a process of its own."""
    return in_process(f"import json\ngiven = json.loads({json.dumps(given)!r})\n{code}")


def _configurations(*specs: str) -> list[dict[str, Any]]:
    return [json.loads(spec)["configuration"] for spec in specs]


@dataclass(frozen=True)
class _Stored:
    """What the add-on stores, and what the stock server stores of the same and of that."""

    addon: list[str]
    stock: list[str]
    read_by_stock: list[str]
    of_names: list[str]
    reclaims: str
    too_late: str
    """Why the add-on refuses to come to the stock server's models."""


@pytest.fixture(scope="module")
def addon(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the add-on makes of all that this module has."""
    found: dict[str, Any] = findings(tmp_path_factory, "read_specs")
    return found


@pytest.fixture(scope="module")
def stored(addon: dict[str, Any]) -> _Stored:
    *dumped, reclaims = addon["dump"]
    by_name = {**WITH_LANES, "fleets": [lane["name"] for lane in WITH_LANES["fleets"]]}
    given = [*STORED[:2], *_configurations(*dumped[2:]), by_name, GROUPED_PLAIN]
    stock = _found(STOCK, given)
    told = stock["dump"]
    return _Stored(dumped, told[:2], told[2:5], told[5:], reclaims, stock["refused"])


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


def test_it_must_come_before_dstacks_own_models(stored: _Stored) -> None:
    assert "Import the add-on before any other module of dstack." in stored.too_late


def test_a_spec_is_read_as_dstack_reads_it(addon: dict[str, Any]) -> None:
    for spec, (stored, groups, fleets) in zip(SPECS, addon["read"], strict=True):
        for form in (spec, stored):
            read = ServiceSpec.of(form)
            assert [[g.name, g.least, g.greatest] for g in read.groups] == groups, form
            assert [lane.fleet for lane in read.lanes] == fleets, form
        assert read == ServiceSpec.of(spec)


def test_a_drain_is_a_duration_of_the_service_or_of_a_group(addon: dict[str, Any]) -> None:
    found = addon["drains"]
    assert found["limits"] == [[30, 30], [120, 120], [45, 0], [0, 0], [1800, 30]]
    assert found["refused"] == [True, True]
    assert found["stored"] == [[None, None], [120, None], ["off", 45], ["off", "off"], [None, 1800]]
    assert found["changed"] == [["drain"], []]
