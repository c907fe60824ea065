"""How many requests engines have open, in each of the ways that they tell it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from dstack_placement.server.drain.engine_loads import ask_engine

VLLM = """\
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 1.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="m"} 2.0
"""
SGLANG = 'sglang:num_running_reqs{model_name="m"} 1\nsglang:num_queue_reqs{model_name="m"} 4.0\n'
LOADS: dict[str, Any] = {
    "loads": [
        {"dp_rank": 0, "num_running_reqs": 2, "num_waiting_reqs": 1},
        {"dp_rank": 1, "num_running_reqs": 4, "num_waiting_reqs": 0},
    ]
}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"/metrics": VLLM}, 6),
        ({"/metrics": SGLANG}, 5),
        ({"/v1/loads": LOADS, "/metrics": SGLANG}, 7),
        ({"/get_load": [{"num_reqs": 3, "num_waiting_reqs": 1}, {"num_reqs": 2}]}, 5),
        ({"/v1/loads": {"loads": [{}]}, "/metrics": VLLM}, 6),
        ({"/v1/loads": [], "/get_load": "busy", "/metrics": "process_cpu_seconds_total 1\n"}, None),
        ({"/v1/loads": {"loads": [{"num_running_reqs": 0, "num_waiting_reqs": 0}]}}, 0),
        ({}, None),
    ],
)
async def test_what_engines_say(answers: dict[str, Any], expected: int | None) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        found = answers.get(request.url.path)
        if found is None:
            return httpx.Response(404)
        if isinstance(found, str):
            return httpx.Response(200, text=found)
        return httpx.Response(200, json=found)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        assert await ask_engine(client) == expected
