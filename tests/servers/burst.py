"""What the tests of faults add to the scenario `burst`."""

from __future__ import annotations

from typing import Any

from dstack_simulator.handle.handle import Handle
from tests.waiting import until

_GATEWAY = """\
type: gateway
name: edge
default: false
backend: aws
region: us-east-1
domain: apps.acme.test
"""
_FLEET = """\
type: fleet
name: shared
nodes: 2..4
blocks: 8
backends: [aws]
spot_policy: spot
resources: {gpu: "H100:8"}
"""
_FRAGILE = """\
type: service
name: fragile
port: 8000
commands: [vllm serve acme/fragile-8b --port 8000]
probes: []
replicas: 2
fleets: [shared]
spot_policy: auto
resources: {gpu: 1}
retry: {on_events: [no-capacity, interruption, error], duration: 1h}
"""
_BUSY = """\
type: service
name: busy
gateway: edge
https: false
port: 8000
commands: [vllm serve acme/busy-8b --port 8000]
probes: []
replicas: 1..3
scaling: {metric: rps, target: 10, scale_up_delay: 5s}
fleets: [shared]
spot_policy: auto
resources: {gpu: 1}
"""


def replicas_run(simulator: Handle, name: str, wanted: int) -> Any:
    """A condition: so many replicas of a run are running."""

    async def holds() -> bool:
        jobs = (await simulator.run(name))["jobs"]
        return sum(job["job_submissions"][-1]["status"] == "running" for job in jobs) == wanted

    return holds


async def fill(simulator: Handle) -> None:
    """A fleet of blocks with two services, one of them behind a gateway."""
    await simulator.apply(_GATEWAY)
    await simulator.apply(_FLEET)

    async def idle() -> bool:
        statuses = [i["status"] for i in (await simulator.fleet("shared"))["instances"]]
        return statuses == ["idle", "idle"]

    async def gateway() -> bool:
        (edge,) = await simulator.api("gateways/list")
        return bool(edge["status"] == "running")

    await until(idle, limit=120, what="the shared fleet")
    await simulator.apply(_FRAGILE)
    await until(gateway, limit=120, what="the gateway")
    await simulator.apply(_BUSY)
    for name, replicas in (("fragile", 2), ("busy", 1)):
        await until(replicas_run(simulator, name, replicas), limit=120, what=f"{name} runs")

    async def registered() -> bool:
        return f"{simulator.project}/busy" in await simulator.gateway_services()

    await until(registered, limit=60, what="the gateway knows the service")
    await simulator.settled()
