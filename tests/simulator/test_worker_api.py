"""What an emulated inference worker answers."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from dstack._internal.server.services.runs.router_worker_sync import (
    _probe_http_worker,
    _TargetWorker,
)

from dstack_simulator.hosts.engine import EngineOptions, read_engine_options
from dstack_simulator.hosts.load import Load
from dstack_simulator.hosts.logs import LogBuffer
from dstack_simulator.hosts.worker import Worker

CHAT = "/v1/chat/completions"
HELLO = {"model": "m", "messages": [{"role": "user", "content": "Hello there"}]}


@asynccontextmanager
async def serve(command: str) -> AsyncIterator[tuple[Worker, httpx.AsyncClient]]:
    options = read_engine_options(command, default_model="default/model")
    worker = Worker(options, Load("w"), LogBuffer(), port=8000)
    factory = worker.serve()
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        yield worker, client
    server.close()
    await factory.shutdown(1.0)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            ("python -m sglang.launch_server --model-path a/b --disaggregation-mode prefill "
            "--disaggregation-bootstrap-port 9001 --tp 8"),
            EngineOptions("a/b", "prefill", "sglang", 9001, 8, drains=True),
        ),
        ("sglang serve --model=a/b --disaggregation-mode=decode",
         EngineOptions("a/b", "decode", "sglang", drains=True)),
        ("vllm serve Qwen/Qwen3-4B --tensor-parallel-size 2",
         EngineOptions("Qwen/Qwen3-4B", "regular", "vllm", tensor_parallel=2)),
        ("vllm serve --model x/y --served-model-name nice", EngineOptions("nice", runtime="vllm")),
        ("sglang serve --model m --api-key secret",
         EngineOptions("m", api_key="secret", drains=True)),
        ("./start.sh", EngineOptions("default/model")),
        ("broken 'quote --model x", EngineOptions("x")),
    ],
)  # fmt: skip
def test_reads_the_command_line(command: str, expected: EngineOptions) -> None:
    assert read_engine_options(command, default_model="default/model") == expected


async def probe(command: str) -> _TargetWorker | None:
    async with serve(command) as (_, client), client_at(client) as tunnel:
        return await _probe_http_worker(tunnel, log_prefix="t", address="10.0.0.1:8000")


def client_at(client: httpx.AsyncClient) -> httpx.AsyncClient:
    # dstack asks for a placeholder host and routes it through its tunnel.
    base = client.base_url

    async def redirect(request: httpx.Request) -> None:
        request.url = request.url.copy_with(host=base.host, port=base.port)

    return httpx.AsyncClient(event_hooks={"request": [redirect]})


@pytest.mark.parametrize("role", ["regular", "prefill", "decode"])
async def test_dstack_recognises_the_role(role: str) -> None:
    flag = "" if role == "regular" else f" --disaggregation-mode {role}"
    found = await probe("sglang serve --model a/b" + flag)
    assert found is not None
    assert found["worker_type"] == role
    assert found["url"] == "http://10.0.0.1:8000"
    assert ("bootstrap_port" in found) == (role == "prefill")


async def test_dstack_does_not_register_vllm_over_http() -> None:
    assert await probe("vllm serve a/b") is None


async def test_with_an_api_key_dstack_is_refused() -> None:
    keyed = "sglang serve --model a/b --api-key secret"
    assert await probe(keyed) is None
    async with serve(keyed) as (_, client):
        assert (await client.get("/health")).status_code == 200
        assert (await client.get("/v1/models")).status_code == 401
        known = {"Authorization": "Bearer secret"}
        assert (await client.get("/v1/models", headers=known)).status_code == 200


async def test_chat_completions_whole_and_streamed_say_the_same() -> None:
    async with serve("sglang serve --model m") as (worker, client):
        whole = (await client.post(CHAT, json=HELLO)).json()
        text = whole["choices"][0]["message"]["content"]
        assert text
        assert whole["usage"]["total_tokens"] == sum(
            whole["usage"][name] for name in ("prompt_tokens", "completion_tokens")
        )
        body = {**HELLO, "stream": True, "stream_options": {"include_usage": True}}
        lines = [
            line.removeprefix("data: ")
            for line in (await client.post(CHAT, json=body)).text.split("\n\n")
            if line
        ]
        assert lines[-1] == "[DONE]"
        events = [json.loads(line) for line in lines[:-1]]
        parts = [e["choices"][0]["delta"].get("content", "") for e in events if e["choices"]]
        assert "".join(parts) == text
        assert events[-2]["choices"][0]["finish_reason"] == "stop"
        assert events[-1]["usage"] == whole["usage"]
        assert worker.requests == 2
        assert CHAT in worker._log.text()


async def test_limits_are_kept_and_named() -> None:
    async with serve("sglang serve") as (_, client):
        short = (await client.post(CHAT, json={**HELLO, "max_tokens": 4})).json()
        assert short["usage"]["completion_tokens"] == 4
        assert short["choices"][0]["finish_reason"] == "length"
        body = {"text": "Hi", "sampling_params": {"max_new_tokens": 2}}
        made = (await client.post("/generate", json=body)).json()
        assert made["meta_info"]["completion_tokens"] == 2
        completed = (await client.post("/v1/completions", json={"prompt": "Hi"})).json()
        assert completed["choices"][0]["text"]


async def test_a_failing_engine_still_says_who_it_is() -> None:
    async with serve("sglang serve") as (worker, client):
        assert (await client.get("/health")).status_code == 200
        worker.failing = True
        for path in ("/health", "/health_generate"):
            assert (await client.get(path)).status_code == 503
        assert (await client.post(CHAT, json=HELLO)).status_code == 503
        assert (await client.get("/v1/models")).json()["data"][0]["owned_by"] == "sglang"
        worker.failing = False
        assert (await client.post(CHAT, json=HELLO)).status_code == 200


async def test_wrong_requests_get_the_right_status() -> None:
    async with serve("sglang serve") as (_, client):
        assert (await client.post(CHAT, content=b"{")).status_code == 400
        assert (await client.post(CHAT, content=b"[]")).status_code == 400
        assert (await client.get(CHAT)).status_code == 405
        assert (await client.get("/nowhere")).status_code == 404


async def test_load_shows_in_the_metrics() -> None:
    load = Load("w")
    worker = Worker(EngineOptions("m"), load, LogBuffer(), port=1)
    load.rate = 0
    assert load.level() == 0
    load.rate = 6
    assert load.level() == 0.5
    load.rate = 1000
    assert load.level() == 1
    load.rate = None
    assert 0 < load.level() < 1
    assert Load("w")._phase == load._phase != Load("v")._phase
    assert worker.requests == 0
