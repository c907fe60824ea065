"""Streams through dstack's own proxy while their replicas stop: one is cut, one ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dstack_simulator.handle.handle import Handle
from dstack_simulator.scenarios import scenario as scenarios
from tests.servers.stopping import stopped
from tests.waiting import until

pytestmark = pytest.mark.e2e

_MODEL = "acme/chat-8b"
_CUT, _DRAINED = "on-vllm", "on-sglang"
_SCENARIO = f"""\
description: Two hosts, and a service of one replica on each
hosts:
  - {{name: rack, count: 2, cpus: 16, memory_gib: 64}}
timing: {{pulling: 0, creating: 0, loading: 0.2}}
steps:
  - apply: {{type: fleet, name: rack, ssh_config: {{hosts: [rack-1, rack-2]}}}}
  - until: {{fleets: {{rack: {{instances: {{idle: 2}}}}}}}}
  - apply:
      type: service
      name: {_CUT}
      port: 8000
      commands: [vllm serve {_MODEL} --port 8000]
      probes: []
      fleets: [rack]
  - apply:
      type: service
      name: {_DRAINED}
      port: 8000
      commands: [python -m sglang.launch_server --model {_MODEL} --port 8000]
      probes: []
      fleets: [rack]
expect:
  runs:
    {_CUT}: {{status: running, replicas: {{running: 1}}}}
    {_DRAINED}: {{status: running, replicas: {{running: 1}}}}
"""
_BODY = {"model": _MODEL, "messages": [{"role": "user", "content": "Hello"}], "stream": True}
#: Seconds of a stream that is still open when its replica gets the SIGINT, however long that
#: takes; and of one that ends before the kill.
_LONG, _SHORT = 120, 6


async def _requests(sim: Handle, name: str) -> dict[str, Any]:
    (requests,) = await sim.requests(name)
    return dict(requests)


async def _stream(sim: Handle, name: str) -> tuple[int, str]:
    url = f"/proxy/services/{sim.project}/{name}/v1/chat/completions"
    async with sim.client() as client:
        answer = await client.post(url, json=_BODY)
    return answer.status_code, answer.text


async def _slow_stream(sim: Handle, name: str, seconds: float) -> asyncio.Task[tuple[int, str]]:
    """Begins a stream of so many seconds, and returns when its engine answers it."""

    async def answers() -> bool:
        return (await _stream(sim, name))[1].endswith("data: [DONE]\n\n")

    async def is_open() -> bool:
        return bool((await _requests(sim, name))["open"])

    await sim.faults.slow_tokens(0)
    await until(answers, limit=60, what=f"{name} answers")
    await sim.faults.slow_tokens(seconds)
    stream = asyncio.create_task(_stream(sim, name))
    await until(is_open, what=f"the stream of {name} is open")
    return stream


async def test_a_stop_cuts_streams_of_vllm_and_lets_those_of_sglang_end(
    stock_server: Handle,
) -> None:
    sim = await stock_server.add_project("streams", scenarios.parse(_SCENARIO, "streams"))
    await sim.settled()
    cut = await _slow_stream(sim, _CUT, _LONG)
    drained = await _slow_stream(sim, _DRAINED, _SHORT)
    stops = asyncio.gather(*(stopped(sim, name) for name in (_CUT, _DRAINED)))

    status, text = await cut
    assert status == 200
    assert "[DONE]" not in text
    status, text = await drained
    assert status == 200
    assert text.startswith('data: {"id": "chatcmpl-')
    assert text.endswith("data: [DONE]\n\n")
    assert await stops == ["terminated", "terminated"]

    (of_cut, of_drained) = [await _requests(sim, name) for name in (_CUT, _DRAINED)]
    assert (of_cut["open"], of_cut["cut"], of_cut["abandoned"]) == (0, 1, 0)
    assert (of_drained["open"], of_drained["cut"], of_drained["abandoned"]) == (0, 0, 0)
    # One to see that it answers, at least.
    assert of_drained["answered"] >= 2
    assert of_cut["answered"] >= 1
