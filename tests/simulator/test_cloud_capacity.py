"""The emulated cloud by itself: offers, capacity, reservations, starting and ending."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from dstack_simulator import SimulatorError
from dstack_simulator.hosts import HostPool
from dstack_simulator.scenarios.scenario import Cloud as Description
from dstack_simulator.world.cloud import Cloud
from tests.waiting import until

_DESCRIPTION = {
    "start_seconds": 0,
    "offers": [
        {
            "instance_type": "big",
            "cpus": 8,
            "memory_gib": 64,
            "gpu": {"name": "H100", "memory_gib": 80, "count": 8},
            "regions": {
                "east": {"on_demand": 98, "spot": 31, "capacity": 1, "spot_capacity": 2},
                "west": {"on_demand": 101},
            },
            "reservations": [{"id": "cr-1", "region": "east", "count": 2}],
        },
        {
            "instance_type": "small",
            "cpus": 2,
            "memory_gib": 4,
            "regions": {"west": {"on_demand": 0.1}},
        },
    ],
}


@pytest_asyncio.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    pool = HostPool(folder=tmp_path / "hosts")
    ports = tmp_path / "ports"
    ports.mkdir()
    try:
        yield Cloud(Description.model_validate(_DESCRIPTION), pool, ports)
    finally:
        await pool.close()


async def _create(cloud: Cloud, region: str = "east", **given: Any) -> dict[str, Any]:
    request = {
        "instance_type": "big",
        "region": region,
        "zones": None,
        "spot": False,
        "reservation": None,
        "authorized_keys": [],
        **given,
    }
    return await cloud.create(**request)


async def test_offers_come_cheapest_first_in_every_kind(cloud: Cloud) -> None:
    offers = (await cloud.offers(None))["offers"]
    assert [(o["instance_type"], o["region"], o["spot"], o["price"]) for o in offers] == [
        ("small", "west", False, 0.1),
        ("big", "east", True, 31),
        ("big", "east", False, 98),
        ("big", "west", False, 101),
    ]


async def test_a_reservation_offers_only_what_it_holds(cloud: Cloud) -> None:
    offers = (await cloud.offers("cr-1"))["offers"]
    assert [(o["instance_type"], o["region"], o["spot"]) for o in offers] == [
        ("big", "east", False)
    ]
    assert (await cloud.offers("cr-unknown"))["offers"] == []


async def test_an_instance_gets_an_address_and_loses_it(cloud: Cloud) -> None:
    created = await _create(cloud)
    assert created["state"] == "running"
    assert created["address"].startswith("127.")
    described = await cloud.describe(created["instance_id"])
    assert described["ssh_port"] == created["ssh_port"]
    await cloud.terminate(created["instance_id"])
    assert await cloud.describe(created["instance_id"]) == {"state": "gone"}
    # The server may ask again, and about what it never had.
    await cloud.terminate(created["instance_id"])
    await cloud.terminate("i-unknown")


async def test_a_slow_start_answers_before_the_instance_is_there(cloud: Cloud) -> None:
    cloud.start_seconds = 2.5
    created = await _create(cloud)
    assert created["state"] == "starting"
    assert "address" not in created

    async def running() -> bool:
        return (await cloud.describe(created["instance_id"]))["state"] == "running"

    await until(running, limit=10, what="the instance runs")


async def test_an_instance_ended_while_it_starts_never_comes(cloud: Cloud) -> None:
    cloud.start_seconds = 60
    created = await _create(cloud)
    instance = cloud.instances[created["instance_id"]]
    await cloud.terminate(created["instance_id"])
    assert instance.starting is not None
    assert instance.starting.cancelled()
    assert await cloud.describe(created["instance_id"]) == {"state": "gone"}


async def test_capacity_is_counted_by_kind_and_comes_back(cloud: Cloud) -> None:
    first = await _create(cloud)
    assert "No capacity for big in east" in (await _create(cloud))["no_capacity"]
    spots = [await _create(cloud, spot=True) for _ in range(3)]
    assert ["no_capacity" in spot for spot in spots] == [False, False, True]
    held = [await _create(cloud, reservation="cr-1") for _ in range(3)]
    assert ["no_capacity" in one for one in held] == [False, False, True]
    await cloud.terminate(first["instance_id"])
    assert "instance_id" in await _create(cloud)


async def test_many_requests_at_once_do_not_exceed_the_capacity(cloud: Cloud) -> None:
    cloud.start_seconds = 0.05
    answers = await asyncio.gather(*(_create(cloud, spot=True) for _ in range(6)))
    assert sum("instance_id" in answer for answer in answers) == 2


async def test_a_region_can_run_out(cloud: Cloud) -> None:
    cloud.without_capacity.add("east")
    assert "no_capacity" in await _create(cloud, spot=True)
    assert "instance_id" in await _create(cloud, region="west")


async def test_only_spot_instances_are_interrupted(cloud: Cloud) -> None:
    spot = await _create(cloud, spot=True)
    firm = await _create(cloud)
    await cloud.interrupt(spot["instance_id"])
    assert await cloud.describe(spot["instance_id"]) == {"state": "gone"}
    with pytest.raises(SimulatorError, match="not a spot instance"):
        await cloud.interrupt(firm["instance_id"])
    with pytest.raises(SimulatorError, match="not a running instance"):
        await cloud.interrupt(spot["instance_id"])


async def test_a_gateway_leaves_its_port_for_the_servers_ssh(cloud: Cloud, tmp_path: Path) -> None:
    created = await cloud.create_gateway([])
    port = tmp_path / "ports" / created["address"]
    assert int(port.read_text()) > 0
    await cloud.terminate(created["instance_id"])
    assert not port.exists()
