"""How many requests an inference engine works on, by what engines themselves say of it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import httpx
from dstack._internal.core.errors import SSHError
from dstack._internal.server.models import JobModel
from dstack._internal.server.services.runs.router_worker_sync import (
    _request_json_limited,
    _ResponseTooLargeError,
)

from dstack_placement.server.routers.replica_tunnels import ReplicaTunnels

#: Seconds that an engine has for all answers together, its tunnel included.
_LIMIT = 8.0
_MOST_BYTES = 2 * 1024 * 1024
_BASE_URL = "http://engine"
#: Gauges of vLLM and SGLang that together are the requests that are open.
_GAUGES = re.compile(
    rb"^(?:vllm:num_requests_(?:running|waiting)|sglang:num_(?:running|queue)_reqs)"
    rb"(?:\{[^}]*\})? ([0-9.e+]+)\s*$",
    re.MULTILINE,
)


class EngineLoads:
    """Looks at engines, each through a tunnel that stays open between two looks."""

    def __init__(self) -> None:
        self._tunnels = ReplicaTunnels()

    async def open_requests(self, job_model: JobModel) -> int | None:
        """How many requests an engine works on or has waiting; None where it does not say.

        Args:
            job_model: The engine's job, with its project, its instance and that one's project
                loaded.
        """
        try:
            return await asyncio.wait_for(self._tunnels.ask(job_model, ask_engine), _LIMIT)
        except (SSHError, httpx.HTTPError, _ResponseTooLargeError, asyncio.TimeoutError):
            return None


async def ask_engine(client: httpx.AsyncClient) -> int | None:
    """Asks an engine in each of the ways that engines have; None where it knows none of them."""
    for path, read in _WAYS.items():
        status, body = await _request_json_limited(
            client, "GET", f"{_BASE_URL}{path}", max_response_bytes=_MOST_BYTES, timeout=_LIMIT / 2
        )
        found = read(body) if status == 200 else None
        if found is not None:
            return found
    return None


def _read_loads(body: bytes) -> int | None:
    """SGLang's answer, with an entry for each of its data-parallel ranks."""
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    loads = answer.get("loads") if isinstance(answer, dict) else answer
    if not isinstance(loads, list) or not loads:
        return None
    counts = [_read_load(load) for load in loads]
    return None if None in counts else sum(count for count in counts if count is not None)


def _read_load(load: Any) -> int | None:
    if not isinstance(load, dict):
        return None
    running, waiting = load.get("num_running_reqs"), load.get("num_waiting_reqs")
    # The older answer has one number for both.
    whole = load.get("num_reqs")
    if isinstance(running, int) and isinstance(waiting, int):
        return running + waiting
    return whole if isinstance(whole, int) else None


def _read_gauges(body: bytes) -> int | None:
    values = [float(value) for value in _GAUGES.findall(body)]
    return round(sum(values)) if values else None


_WAYS: dict[str, Callable[[bytes], int | None]] = {
    "/v1/loads": _read_loads,
    "/get_load": _read_loads,
    "/metrics": _read_gauges,
}

#: The looks of this server.
engine_loads = EngineLoads()
