"""Several projects on one server: each with hosts, a cloud and an address of its own."""

from __future__ import annotations

import httpx
import pytest

from dstack_simulator import SimulatorError
from dstack_simulator.handle.handle import Handle
from dstack_simulator.scenarios.scenario import Scenario

pytestmark = pytest.mark.e2e

_PLACES = {"near": "us-east-1", "far": "eu-west-1"}


def _scenario(region: str) -> Scenario:
    offer = {
        "instance_type": "c7i.8xlarge",
        "cpus": 32,
        "memory_gib": 64,
        "regions": {region: {"on_demand": 1.43}},
    }
    return Scenario.model_validate(
        {
            "description": "A fleet of one host, and a cloud of one region",
            "hosts": [{"name": "rack", "cpus": 32, "memory_gib": 64}],
            "cloud": {"offers": [offer]},
            "steps": [
                {"apply": {"type": "fleet", "name": "rack", "ssh_config": {"hosts": ["rack"]}}},
                {"apply": {"type": "fleet", "name": "cloud", "nodes": 1, "backends": ["aws"]}},
            ],
            "expect": {
                "fleets": {
                    "rack": {"instances": {"idle": 1}},
                    "cloud": {"instances": {"idle": 1}},
                }
            },
        }
    )


async def test_projects_share_nothing_but_the_server(stock_server: Handle) -> None:
    projects = {
        name: await stock_server.add_project(name, _scenario(region))
        for name, region in _PLACES.items()
    }
    near, far = projects["near"], projects["far"]
    for name, project in projects.items():
        await project.settled()
        assert project.project == name
        (instance,) = (await project.fleet("cloud"))["instances"]
        assert instance["region"] == _PLACES[name]
        # Of the same name in both, and in each a host of its own.
        (rack,) = (await project.fleet("rack"))["instances"]
        assert rack["hostname"] in {host["address"] for host in await project.hosts()}
    assert near.url != far.url
    assert not {h["address"] for h in await near.hosts()} & {
        h["address"] for h in await far.hosts()
    }

    await near.faults.server_cut()
    with pytest.raises(httpx.TransportError):
        await near.api("fleets/list")
    assert len(await far.api("fleets/list")) == 2
    await near.faults.server_cut(on=False)
    assert len(await near.api("fleets/list")) == 2

    with pytest.raises(SimulatorError, match="has no region eu-west-1"):
        await near.faults.no_capacity("eu-west-1")
    with pytest.raises(SimulatorError, match="There is a project near already"):
        await stock_server.add_project("near", _scenario("us-east-1"))


async def test_another_process_may_have_a_handle(stock_server: Handle) -> None:
    handed = Handle.attached(stock_server.state)
    assert handed.state == stock_server.state
    assert await handed.api("/api/server/get_info") == {"server_version": "0.22.5"}
