"""The real SMG router in an emulated container, with emulated workers behind it."""

import asyncio
import os
import signal
import socket
import sys
import textwrap
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from dstack_simulator.hosts import Container, Host
from dstack_simulator.hosts.router import port_of, router_arguments
from tests import ROOT
from tests.builders.emulated_hosts import QUICK, open_site, start_job
from tests.waiting import until

GROUPS = [{"name": "router", "router": {"type": "smg"}}, {"name": "workers"}]
SERVICE = {"type": "service", "port": 8000, "model": "some/model", "groups": GROUPS}
SMG = "smg launch --host 0.0.0.0 --port 8000 --enable-igw --disable-retries"
START_LIMIT = 40.0


def test_a_router_is_bound_to_its_own_address() -> None:
    arguments = ["launch", "--host", "0.0.0.0", "--port=81", "--prometheus-port=5", "--enable-igw"]
    assert router_arguments(arguments, address="127.9.0.1", metrics_port=29000) == [
        "launch", "--port=81", "--enable-igw", "--host", "127.9.0.1",
        "--prometheus-host", "127.9.0.1", "--prometheus-port", "29000",
    ]  # fmt: skip
    assert port_of(arguments, 1) == 81
    assert port_of(["launch", "--port", "82"], 1) == 82
    assert port_of(["launch", "--port"], 1) == 1


async def start_router(host: Host, flags: str = "") -> tuple[Container, httpx.AsyncClient]:
    router = await start_job(host, SERVICE, [SMG + flags], name="r-0-0")
    client = httpx.AsyncClient(base_url=f"http://{host.address}:8000", timeout=20)
    await until(lambda: answers(client), limit=START_LIMIT, what="smg")
    return router, client


async def answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/workers")).status_code == 200
    except httpx.TransportError:
        return False


async def register(client: httpx.AsyncClient, host: Host, **fields: Any) -> None:
    body = {"url": f"http://{host.address}:8000", "connection_mode": "http",
            "runtime_type": "sglang", "worker_type": "regular", **fields}  # fmt: skip
    assert (await client.post("/workers", json=body)).status_code == 202

    async def ready() -> bool:
        workers = (await client.get("/workers")).json()["workers"]
        return any(w["url"] == body["url"] and w["status"] == "ready" for w in workers)

    await until(ready, limit=START_LIMIT, what="the worker to be ready")


CHAT = {"model": "some/model", "messages": [{"role": "user", "content": "Hello"}]}


async def test_requests_go_through_smg_which_can_restart() -> None:
    async with open_site() as site:
        host = await site.host("router", gpu=None)
        workers = [await site.host(f"w{n}") for n in range(2)]
        jobs = [await start_job(w, SERVICE, ["sglang serve --model some/model"]) for w in workers]
        await until(lambda: all(job.runner.worker for job in jobs))
        router, client = await start_router(host)
        for worker in workers:
            await register(client, worker)
        answer = await client.post("/v1/chat/completions", json=CHAT)
        assert answer.status_code == 200, answer.text
        assert answer.json()["choices"][0]["message"]["content"]
        streamed = await client.post("/v1/chat/completions", json={**CHAT, "stream": True})
        assert streamed.text.rstrip().endswith("data: [DONE]")
        assert sum(job.runner.worker.requests for job in jobs if job.runner.worker) == 2
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", 8000)

        process = router.runner.router
        assert process is not None
        old = process.pid
        await router.restart_router()
        await until(lambda: router.runner.router is not process)
        await until(lambda: answers(client), limit=START_LIMIT, what="smg again")
        assert router.running
        assert (await client.get("/workers")).json()["workers"] == []
        assert old is not None
        assert not psutil.pid_exists(old)
        await client.aclose()
        running = router.runner.router
        assert running is not None
        last = running.pid
        await router.terminate("terminated_by_user", "")
        assert last is not None
        assert not psutil.pid_exists(last)


async def test_a_router_that_stops_lets_a_stream_end_or_is_killed() -> None:
    async with open_site(replace(QUICK, answering=0.6, killing=1.5)) as site:
        host, machine = await site.host("router", gpu=None), await site.host("worker")
        await start_job(machine, SERVICE, ["sglang serve --model some/model"])
        router, client = await start_router(host)
        await register(client, machine)
        (tally,) = site.pool.requests()
        stream = asyncio.create_task(
            client.post("/v1/chat/completions", json={**CHAT, "stream": True})
        )
        await until(lambda: tally.open, what="the stream begins")
        router.runner.stop()
        assert (await stream).text.rstrip().endswith("data: [DONE]")
        # At rest it takes its time, too, longer than here is given to it.
        await until(lambda: router.runner.state == "ended", what="the router ends")
        assert (tally.answered, tally.abandoned) == (1, 0)
        assert router.runner.router is not None
        assert router.runner.router.pid is None
        await client.aclose()


async def test_prefill_and_decode() -> None:
    async with open_site() as site:
        host = await site.host("router", gpu=None)
        roles = {}
        for role in ("prefill", "decode"):
            machine = await site.host(role)
            command = f"sglang serve --model some/model --disaggregation-mode {role}"
            roles[role] = (machine, await start_job(machine, SERVICE, [command]))
        await until(lambda: all(job.runner.worker for _, job in roles.values()))
        _, client = await start_router(host, " --pd-disaggregation")
        await register(client, roles["prefill"][0], worker_type="prefill", bootstrap_port=8998)
        await register(client, roles["decode"][0], worker_type="decode")
        answer = await client.post("/v1/chat/completions", json=CHAT)
        assert answer.status_code == 200, answer.text
        assert [job.runner.worker.requests for _, job in roles.values() if job.runner.worker] == [
            1,
            1,
        ]
        await client.aclose()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


async def test_smg_does_not_outlive_a_killed_simulator(tmp_path: Path) -> None:
    ports = free_ports(2)
    program = textwrap.dedent(f"""
        import asyncio
        from pathlib import Path
        from dstack_simulator.hosts.router import RouterProcess, router_arguments
        from tests.waiting import until

        async def main():
            # A port for metrics of its own: other routers may run beside this one.
            arguments = router_arguments(
                ["launch", "--port", "{ports[0]}"], address="127.0.0.1", metrics_port={ports[1]}
            )
            router = RouterProcess(arguments, folder=Path({str(tmp_path)!r}), on_line=lambda _: 0)
            task = asyncio.ensure_future(router.run())
            await until(lambda: router.pid)
            print(router.pid, flush=True)
            await task

        asyncio.run(main())
    """)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    child = psutil.Process(int(await process.stdout.readline()))

    def is_smg() -> bool:
        return "smg::router" in child.name() or "smg" in " ".join(child.cmdline())

    await until(is_smg, limit=START_LIMIT, what="smg to start")
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    await until(
        lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE,
        what="smg to end with its parent",
    )
    await process.stdout.read()  # to its end, so that the pipe is closed before the loop is
