"""How emulated engines answer and stop: streams, slow tokens, cuts, drains, and what is counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from dstack_simulator.hosts import Container, Host, Tally, Timings
from dstack_simulator.hosts.engine import DRAINS_VARIABLE
from dstack_simulator.hosts.worker import Pace
from tests.builders.emulated_hosts import (
    QUICK,
    Site,
    job_json,
    open_site,
    start_container,
    start_job,
)
from tests.waiting import until

CHAT = "/v1/chat/completions"
HELLO = {"model": "m", "messages": [{"role": "user", "content": "Hello there"}]}
STREAM = {**HELLO, "stream": True}
VLLM, SGLANG = "vllm serve some/model", "python -m sglang.launch_server --model some/model"
#: A service with a router: its engines are dialled, and so have a socket.
SERVICE = {
    "type": "service",
    "port": 8000,
    "groups": [{"name": "r", "router": {"type": "smg"}}, {"name": "w"}],
}
#: Longer than a test waits for anything.
NEVER = 600.0
#: What happens without a kill, happens before it.
ENDLESS = replace(QUICK, answering=NEVER, killing=NEVER)
#: Long enough to be stopped in, and no longer.
BRIEF = replace(QUICK, answering=0.6, killing=NEVER)


@dataclass
class Engine:
    """An engine whose port can be dialled, and a client of it."""

    site: Site
    host: Host
    container: Container
    client: httpx.AsyncClient

    @property
    def tally(self) -> Tally:
        """What it counted."""
        (tally,) = self.site.pool.requests(self.container.job_id)
        return tally

    @property
    def counts(self) -> dict[str, int]:
        """What it counted and is not zero."""
        names = ("open", "answered", "cut", "abandoned", "refused")
        return {name: count for name in names if (count := getattr(self.tally, name))}

    @property
    def last_event(self) -> dict[str, Any]:
        """The last state of the job that its runner reports."""
        event: dict[str, Any] = self.container.runner.pull(0, 0)["job_states"][-1]
        return event

    async def ended(self) -> None:
        """Waits until the job has ended."""
        await until(lambda: self.container.runner.state == "ended", what="the job ends")

    async def ask(self, body: dict[str, Any]) -> asyncio.Task[httpx.Response]:
        """Sends a request, and returns once the engine answers it."""
        before = self.tally.received
        task = asyncio.create_task(self.client.post(CHAT, json=body))
        await until(lambda: self.tally.received > before, what="the request arrives")
        return task


@asynccontextmanager
async def engine(
    command: str, timings: Timings = QUICK, env: dict[str, str] | None = None
) -> AsyncIterator[Engine]:
    async with open_site(timings) as site:
        host = await site.host()
        container = await start_job(host, SERVICE, [command], spec={"env": env or {}})
        await until(lambda: container.runner.worker is not None, what="the engine")
        base = f"http://{host.address}:8000"
        async with httpx.AsyncClient(base_url=base, timeout=NEVER, trust_env=False) as client:
            yield Engine(site, host, container, client)


def test_slow_parts_are_spread_evenly_over_the_time() -> None:
    assert [Pace(4, 8.0).due(part) for part in range(4)] == [2, 4, 6, 8]
    assert Pace(1, 60.0).due(0) == 60
    assert Pace(40, 0.0).due(39) < 0.2


async def test_slow_tokens_hold_for_answers_that_begin_from_then_on() -> None:
    async with engine(VLLM, ENDLESS) as it:
        whole = await it.ask(HELLO)
        stream = await it.ask(STREAM)
        it.site.pool.timings.answering = 0
        assert (await it.client.post(CHAT, json=HELLO)).status_code == 200
        assert (await it.client.post(CHAT, json=STREAM)).text.endswith("data: [DONE]\n\n")
        assert not whole.done()
        assert not stream.done()
        assert it.counts == {"open": 2, "answered": 2}
        for task in (whole, stream):
            task.cancel()
        await until(lambda: it.counts == {"abandoned": 2, "answered": 2}, what="they are counted")


async def test_a_slow_stream_comes_token_by_token() -> None:
    async with (
        engine(VLLM, replace(ENDLESS, answering=30.0)) as it,
        it.client.stream("POST", CHAT, json=STREAM) as answer,
    ):
        lines = answer.aiter_lines()
        first = await anext(lines)
        assert first.startswith('data: {"id": "chatcmpl-')
        assert it.counts == {"open": 1}


@pytest.mark.parametrize(
    ("command", "path", "expected"),
    [
        (VLLM, "/metrics", 'vllm:num_requests_running{model_name="some/model"} 1\n'),
        (SGLANG, "/v1/loads", '"num_running_reqs": 1'),
        (SGLANG, "/get_load", '"num_reqs": 1'),
    ],
)
async def test_an_engine_says_how_many_requests_are_open(
    command: str, path: str, expected: str
) -> None:
    async with engine(command, ENDLESS) as it:
        request = await it.ask(STREAM)
        assert expected in (await it.client.get(path)).text
        request.cancel()


async def test_a_prefill_engine_is_not_slow() -> None:
    command = f"{SGLANG} --disaggregation-mode prefill"
    async with engine(command, ENDLESS) as it:
        assert (await it.client.post(CHAT, json=HELLO)).status_code == 200


@pytest.mark.parametrize("body", [HELLO, STREAM])
async def test_an_interrupt_cuts_what_is_open(body: dict[str, Any]) -> None:
    async with engine(VLLM, ENDLESS) as it:
        assert (await it.client.get("/health")).status_code == 200
        request = await it.ask(body)
        assert it.container.runner.pull(0, 0)["has_more"]
        it.container.runner.stop()
        with pytest.raises(httpx.TransportError):
            await request
        await it.ended()
        assert it.counts == {"cut": 1}
        assert it.last_event["state"] == "terminated"
        assert not it.container.runner.pull(0, 0)["has_more"]
        with pytest.raises(httpx.ConnectError):
            await it.client.post(CHAT, json=HELLO)


async def test_a_cut_stream_breaks_off_in_a_tunnel_too() -> None:
    async with open_site(ENDLESS) as site:
        host = await site.host()
        service = {"type": "service", "port": 8000}
        container = await start_job(host, service, [VLLM], keys=[site.public])
        await until(lambda: container.runner.worker is not None)
        async with site.tunnel(host, [8000], jump=10022) as sockets:
            transport = httpx.AsyncHTTPTransport(uds=str(sockets[8000]))
            async with (
                httpx.AsyncClient(transport=transport, base_url="http://w", timeout=60) as client,
                client.stream("POST", CHAT, json=STREAM) as answer,
            ):
                assert answer.status_code == 200
                container.runner.stop()
                with pytest.raises(httpx.RemoteProtocolError):
                    await answer.aread()
        assert [tally.cut for tally in site.pool.requests("my-run")] == [1]


@pytest.mark.parametrize("body", [HELLO, STREAM])
async def test_a_drain_lets_open_requests_end_and_then_the_job(body: dict[str, Any]) -> None:
    async with engine(SGLANG, BRIEF) as it:
        request = await it.ask(body)
        it.container.runner.stop()
        answer = await request
        assert answer.status_code == 200
        assert body is HELLO or answer.text.endswith("data: [DONE]\n\n")
        await it.ended()
        assert it.counts == {"answered": 1}
        assert it.last_event["state"] == "terminated"


async def test_a_drain_refuses_new_requests_and_closes_idle_connections() -> None:
    async with engine(SGLANG, ENDLESS) as it:
        reader, writer = await asyncio.open_connection(it.host.address, 8000)
        request = await it.ask(STREAM)
        it.container.runner.stop()
        assert await reader.read() == b""
        writer.close()
        with pytest.raises(httpx.ConnectError):
            await it.client.post(CHAT, json=HELLO)
        with pytest.raises(ConnectionRefusedError):
            await it.container.connect(8000)
        assert it.container.running
        assert it.container.runner.pull(0, 0)["has_more"]
        assert it.counts == {"open": 1}
        request.cancel()
        await it.ended()
        assert it.counts == {"abandoned": 1}


async def test_a_drain_ends_with_the_kill() -> None:
    async with engine(SGLANG, replace(ENDLESS, killing=0.1)) as it:
        request = await it.ask(STREAM)
        it.container.runner.stop()
        with pytest.raises(httpx.TransportError):
            await request
        await it.ended()
        assert it.counts == {"cut": 1}
        assert it.last_event["state"] == "terminated"


async def test_a_drain_ends_with_the_container() -> None:
    async with engine(SGLANG, ENDLESS) as it:
        request = await it.ask(STREAM)
        it.container.runner.stop()
        await it.container.terminate("terminated_by_user", "")
        with pytest.raises(httpx.TransportError):
            await request
        assert it.counts == {"cut": 1}
        assert it.container.runner.state == "ended"


async def test_a_drain_ends_with_the_hosts_network() -> None:
    async with engine(SGLANG, ENDLESS) as it:
        request = await it.ask(STREAM)
        it.container.runner.stop()
        await until(lambda: it.container.runner.worker and it.container.runner.worker.draining)
        await it.host.set_reachable(False)
        with pytest.raises(httpx.TransportError):
            await request
        await it.ended()
        assert it.counts == {"abandoned": 1}


@pytest.mark.parametrize(
    ("command", "drains", "counts"),
    [(VLLM, "true", {"answered": 1}), (SGLANG, "false", {"cut": 1})],
)
async def test_the_environment_decides_for_any_command(
    command: str, drains: str, counts: dict[str, int]
) -> None:
    async with engine(command, BRIEF, {DRAINS_VARIABLE: drains}) as it:
        request = await it.ask(STREAM)
        it.container.runner.stop()
        await asyncio.wait([request])
        await it.ended()
        assert it.counts == counts
        assert (request.exception() is None) == (drains == "true")


async def test_a_wrong_environment_ends_the_job_and_says_why() -> None:
    async with open_site() as site:
        env = {DRAINS_VARIABLE: "maybe"}
        container = await start_job(await site.host(), SERVICE, [VLLM], spec={"env": env})
        await until(lambda: container.runner.state == "ended")
        assert container.runner.exit_status == 2
        assert f"{DRAINS_VARIABLE} is 'maybe'. Use true or false." in container.runner.log.text()


@pytest.mark.parametrize(
    "commands",
    [["sleep infinity"], ["python train.py"], [f"{VLLM} & wait"], ["sleep infinity || echo on"]],
)
async def test_other_commands_end_at_once_and_nothing_follows(commands: list[str]) -> None:
    async with open_site(ENDLESS) as site:
        container = await start_job(await site.host(), {"type": "task"}, commands)
        container.runner.stop()
        container.runner.stop()
        await until(lambda: container.runner.state == "ended")
        states = [event["state"] for event in container.runner.pull(0, 0)["job_states"]]
        assert states == ["running", "terminated"]
        assert "on" not in container.runner.log.text().splitlines()


async def test_an_engine_that_loads_ends_at_once() -> None:
    async with open_site(replace(ENDLESS, loading=NEVER)) as site:
        container = await start_job(await site.host(), SERVICE, [SGLANG])
        await until(lambda: "Load weight begin" in container.runner.log.text())
        container.runner.stop()
        await until(lambda: container.runner.state == "ended")
        assert container.runner.worker is None


async def test_a_job_that_has_not_begun_ends_too() -> None:
    async with open_site() as site:
        runner = (await start_container(await site.host())).runner
        runner.submit(job_json(SERVICE, [VLLM]))
        runner.stop()
        runner.stop()
        assert runner.state == "ended"
        assert [event["state"] for event in runner.pull(0, 0)["job_states"]] == ["terminated"]


async def test_a_crash_cuts_what_is_open() -> None:
    async with engine(SGLANG, ENDLESS) as it:
        request = await it.ask(STREAM)
        await it.container.crash(137)
        with pytest.raises(httpx.TransportError):
            await request
        assert it.counts == {"cut": 1}
        assert it.last_event["exit_status"] == 137


async def test_what_is_refused_is_counted_and_all_counts_stay() -> None:
    async with engine(VLLM) as it:
        assert (await it.client.post(CHAT, json=HELLO)).status_code == 200
        assert (await it.client.post(CHAT, content=b"{")).status_code == 400
        it.container.fail_health()
        assert (await it.client.post(CHAT, json=HELLO)).status_code == 503
        assert (await it.client.get("/health")).status_code == 503
        await it.site.pool.remove(it.host.name)
        assert it.counts == {"answered": 1, "refused": 2}
        assert it.site.pool.requests("my-run-0-0") == it.site.pool.requests("my-run") == [it.tally]
        assert it.site.pool.requests("other") == []
        assert it.tally.job_id == it.container.job_id
