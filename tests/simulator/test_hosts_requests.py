"""Requests of users, from dstack's proxy down to emulated workers, through the real router."""

import httpx
import pytest

from dstack_simulator.handle.handle import Handle
from tests.waiting import until

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    ("service", "model"), [("embed", "acme/embed-1b"), ("chat-70b", "acme/chat-70b")]
)
async def test_chat_completions_arrive(demo_sim: Handle, service: str, model: str) -> None:
    base = f"{demo_sim.url}/proxy/services/{demo_sim.project}/{service}/v1/"
    headers = {"Authorization": f"Bearer {demo_sim.token}"}
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=30) as client:

        async def answer() -> httpx.Response | None:
            # A router knows its workers some seconds after dstack calls them ready.
            response = await client.post("chat/completions", json=body)
            return response if response.status_code == 200 else None

        response = await until(answer, limit=60, what=f"an answer of {service}")
        assert response.json()["choices"][0]["message"]["content"]
        async with client.stream(
            "POST", "chat/completions", json={**body, "stream": True}
        ) as stream:
            assert stream.status_code == 200
            lines = [line async for line in stream.aiter_lines() if line]
        assert len(lines) > 5
        assert lines[-1] == "data: [DONE]"
