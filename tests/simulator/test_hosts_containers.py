"""Containers, driven by dstack's own clients through tunnels of the OpenSSH client."""

import asyncio
import base64
from pathlib import Path
from uuid import UUID

import pytest
import requests
import requests_unixsocket
from dstack._internal.core.models.common import NetworkMode
from dstack._internal.server.services.runner.client import (
    RunnerClient,
    ShimClient,
    ShimResponseStatusError,
    healthcheck_response_to_instance_check,
)

from dstack_simulator.hosts import GpuSpec, Host
from dstack_simulator.hosts.container import TaskRequest
from tests.builders.emulated_hosts import (
    Site,
    job_json,
    open_site,
    start_container,
    start_job,
    task_json,
)
from tests.waiting import until

SERVICE = {"type": "service", "port": 8000, "model": "some/model"}
TASK = {"type": "task"}


def submit(shim: ShimClient, task_id: UUID, mode: NetworkMode, keys: list[str]) -> None:
    shim.submit_task(
        task_id=task_id,
        name="my-run-0-0",
        registry_username="",
        registry_password="",
        image_name="dstackai/base",
        container_user="root",
        privileged=False,
        gpu=None,
        cpu=None,
        memory=None,
        shm_size=None,
        network_mode=mode,
        volumes=[],
        volume_mounts=[],
        instance_mounts=[],
        gpu_devices=[],
        host_ssh_user="",
        host_ssh_keys=[],
        container_ssh_keys=keys,
        instance_id="i",
    )


def post(path: Path, url: str, json: object) -> requests.Response:
    session = requests_unixsocket.Session()
    quoted = str(path).replace("/", "%2F")
    return session.post(f"http+unix://{quoted}{url}", json=json, timeout=10)


@pytest.mark.parametrize("mode", [NetworkMode.HOST, NetworkMode.BRIDGE])
async def test_a_task_from_submission_to_removal(mode: NetworkMode) -> None:
    task_id = UUID(int=7)
    async with open_site() as site:
        host = await site.host()
        async with site.tunnel(host, [10998]) as sockets:
            shim = ShimClient(uds=sockets[10998])
            await asyncio.to_thread(submit, shim, task_id, mode, [site.public])
            with pytest.raises(ShimResponseStatusError, match="409"):
                await asyncio.to_thread(submit, shim, task_id, mode, [])
            with pytest.raises(ShimResponseStatusError, match="409"):
                await asyncio.to_thread(shim.remove_task, task_id)

            async def running() -> bool:
                task = await asyncio.to_thread(shim.get_task, task_id)
                return task.status.value == "running"

            await until(running, what="the container")
            task = await asyncio.to_thread(shim.get_task, task_id)
            ports = {item.container: item.host for item in task.ports or []}
            assert set(ports) == {10999, 10022}
            assert (ports[10999] == 10999) == (mode is NetworkMode.HOST)
            await run_job(site, host, ports)
            await asyncio.to_thread(shim.terminate_task, task_id, "done_by_runner", "bye")
            task = await asyncio.to_thread(shim.get_task, task_id)
            assert (task.status.value, task.termination_reason) == ("terminated", "done_by_runner")
            await asyncio.to_thread(shim.remove_task, task_id)
            assert not (await asyncio.to_thread(shim.list_tasks)).tasks
            with pytest.raises(ShimResponseStatusError, match="404"):
                await asyncio.to_thread(shim.get_task, task_id)


async def run_job(site: Site, host: Host, ports: dict[int, int]) -> None:
    async with site.tunnel(host, [ports[10999]]) as sockets:
        path = sockets[ports[10999]]
        runner = RunnerClient(uds=path)
        health = await asyncio.to_thread(runner.healthcheck)
        assert health is not None
        assert health.service == "dstack-runner"
        job = job_json(SERVICE, ["vllm serve some/model"])
        assert (await asyncio.to_thread(post, path, "/api/submit", job)).status_code == 200
        await asyncio.to_thread(runner.upload_code, b"x" * 3_000_000)
        info = await asyncio.to_thread(runner.run_job)
        assert info is not None
        assert info.username == "root"

        async def ready() -> bool:
            pulled = await asyncio.to_thread(runner.pull, 0)
            return any(b"ready to roll" in line.message for line in pulled.job_logs)

        await until(ready, what="the engine")
        metrics = await asyncio.to_thread(runner.get_metrics)
        assert metrics is not None
        assert len(metrics.gpus) == 8
        assert 0.8 < metrics.gpus[0].gpu_memory_usage_bytes / (80 * 1024**3) < 0.95
    async with site.tunnel(host, [8000], jump=ports[10022]) as sockets:
        answer = await asyncio.to_thread(
            post, sockets[8000], "/v1/chat/completions", {"messages": [], "max_tokens": 3}
        )
        assert answer.json()["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize(
    ("commands", "state", "status"),
    [
        (["exit 3"], "failed", 3),
        (["echo hello", "sleep 0.01"], "done", 0),
        (["false"], "failed", 1),
        (["false || true"], "done", 0),
        (["false", "echo never"], "failed", 1),
    ],
)
async def test_the_commands_decide_the_outcome(
    commands: list[str], state: str, status: int
) -> None:
    async with open_site() as site:
        container = await start_job(await site.host(), TASK, commands)
        await until(lambda: container.runner.state == "ended")
        last = container.runner.pull(0, 0)["job_states"][-1]
        assert (last["state"], last["exit_status"]) == (state, status)
        assert "never" not in container.runner.log.text()


async def test_a_maximum_duration_ends_a_job() -> None:
    async with open_site() as site:
        container = await start_job(
            await site.host(), TASK, ["sleep 1h"], spec={"max_duration": 0.05}
        )
        await until(lambda: container.runner.state == "ended")
        last = container.runner.pull(0, 0)["job_states"][-1]
        assert (last["state"], last["termination_reason"]) == (
            "terminated",
            "max_duration_exceeded",
        )


async def test_a_pull_gives_what_is_new_and_only_that() -> None:
    async with open_site() as site:
        container = await start_job(await site.host(), TASK, ["echo one", "python train.py"])
        await until(lambda: "train.py" in container.runner.log.text())
        first = container.runner.pull(0, 0)
        lines = [base64.b64decode(line["message"]) for line in first["job_logs"]]
        assert lines[0] == b"one\r\n"
        stamps = [line["timestamp"] for line in first["job_logs"]]
        assert stamps == sorted(set(stamps))
        second = container.runner.pull(first["last_updated"], 0)
        assert second["job_states"] == []
        assert [base64.b64decode(line["message"])[:8] for line in second["job_logs"]] == [
            b"step 100"
        ]
        assert await until(lambda: container.runner.metrics()["cpu_usage_micro"] > 0)


async def test_crash_and_failing_health() -> None:
    async with open_site() as site:
        container = await start_job(await site.host(), SERVICE, ["sglang serve"])
        with pytest.raises(LookupError, match="is not a router"):
            await container.restart_router()
        await until(lambda: container.runner.worker is not None)
        container.fail_health()
        worker = container.runner.worker
        assert worker is not None
        assert worker.failing
        await container.crash(9)
        last = container.runner.pull(0, 0)["job_states"][-1]
        assert (last["state"], last["exit_status"]) == ("failed", 9)
        with pytest.raises(ConnectionRefusedError):
            await container.connect(8000)
        assert site.pool.containers("my-run") == [container]


async def test_what_was_dialled_ends_with_the_worker() -> None:
    service = {**SERVICE, "groups": [{"name": "r", "router": {"type": "smg"}}, {"name": "w"}]}
    async with open_site() as site:
        host = await site.host()
        container = await start_job(host, service, ["sglang serve"])
        await until(lambda: container.runner.worker is not None)
        reader, writer = await asyncio.open_connection(host.address, 8000)
        await container.crash()
        assert await asyncio.wait_for(reader.read(1), 5) == b""
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(host.address, 8000)


async def test_two_containers_cannot_share_the_hosts_network() -> None:
    async with open_site() as site:
        host = await site.host()
        await start_container(host, "a-0-0")
        request = TaskRequest.from_json(task_json("b-0-0"))
        host.shim.submit(request)
        second = host.containers[request.id]
        await until(lambda: second.status == "terminated")
        assert second.termination_reason == "creating_container_error"
        assert "10999" in second.termination_message


async def test_a_connection_that_is_kept_open_keeps_no_container_alive() -> None:
    async with open_site() as site:
        host = await site.host()
        container = await start_job(host, SERVICE, ["sglang serve"])
        await until(lambda: container.runner.worker is not None)
        async with site.tunnel(host, [8000]) as sockets:
            reader, writer = await asyncio.open_unix_connection(str(sockets[8000]))
            writer.write(b"GET /health HTTP/1.1\r\nHost: replica\r\n\r\n")
            assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 200")
            await asyncio.wait_for(container.end("done_by_runner", ""), 5)
            writer.close()
        await start_container(host, "next-0-0")


async def test_a_task_has_no_health_to_fail() -> None:
    async with open_site() as site:
        container = await start_job(await site.host(), TASK, ["sleep 1h"])
        with pytest.raises(LookupError, match="no inference worker"):
            container.fail_health()


async def test_a_host_that_is_cut_off_and_comes_back() -> None:
    service = {**SERVICE, "groups": [{"name": "r", "router": {"type": "smg"}}, {"name": "w"}]}
    async with open_site() as site:
        host = await site.host()
        container = await start_job(host, service, ["sglang serve"])
        await until(lambda: container.runner.worker is not None)
        port = host.ssh_port
        async with site.tunnel(host, [10998]) as sockets:
            shim = ShimClient(uds=sockets[10998])
            assert await asyncio.to_thread(shim.healthcheck) is not None
            reader, dialled = await asyncio.open_connection(host.address, 8000)
            await host.set_reachable(False)
            assert not host.reachable

            async def cut() -> bool:
                return await asyncio.to_thread(shim.healthcheck) is None

            await until(cut, what="the tunnel to break")
            for number in (port, 8000):
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.open_connection(host.address, number)
            assert await asyncio.wait_for(reader.read(1), 5) == b""
            dialled.close()
        await host.set_reachable(True)
        assert host.ssh_port == port
        async with site.tunnel(host, [10998]) as sockets:
            shim = ShimClient(uds=sockets[10998])
            tasks = (await asyncio.to_thread(shim.list_tasks)).tasks
            assert [task.status.value for task in tasks or []] == ["running"]
        _, again = await asyncio.open_connection(host.address, 8000)
        again.close()


async def test_health_of_accelerators() -> None:
    async with open_site() as site:
        host = await site.host()
        plain = await site.host("plain", gpu=None)
        amd = await site.host("amd", gpu=GpuSpec("MI300X", 192, 8, "amd"))
        for other in (plain, amd):
            with pytest.raises(ValueError, match="no NVIDIA"):
                other.set_health("failure")
        async with site.tunnel(host, [10998]) as sockets:
            shim = ShimClient(uds=sockets[10998])
            check = healthcheck_response_to_instance_check

            def look() -> tuple[str, str | None]:
                health = shim.healthcheck(unmask_exceptions=True)
                found = check(health, shim.get_instance_health())
                return found.get_health_status().value, found.message

            assert await asyncio.to_thread(look) == ("healthy", None)
            host.set_health("failure", "GPU 3 fell off the bus")
            assert await asyncio.to_thread(look) == ("failure", "GPU 3 fell off the bus")
            host.set_health("warning", "row remapping is pending")
            assert (await asyncio.to_thread(look))[0] == "warning"
            info = await asyncio.to_thread(shim.get_instance_info)
            assert info is not None
            assert info.gpu_driver_version


async def test_components_are_updated_as_asked() -> None:
    async with open_site() as site:
        host = await site.host()
        async with site.tunnel(host, [10998]) as sockets:
            shim = ShimClient(uds=sockets[10998])
            before = await asyncio.to_thread(shim.get_components)
            assert before is not None
            assert before.shim is not None
            assert before.shim.version == "0.22.5"
            url = "https://example.com/0.22.9/binaries/dstack-shim-linux-amd64"
            await asyncio.to_thread(shim.install_shim, url)
            assert await asyncio.to_thread(lambda: shim.shutdown(force=False))
            fresh = ShimClient(uds=sockets[10998])
            assert await asyncio.to_thread(fresh.get_version_string) == "0.22.9"


async def test_blocks_share_a_host_and_its_accelerators() -> None:
    async with open_site() as site:
        host = await site.host()
        blocks = [
            await start_container(host, f"b-{n}-0", network_mode="bridge", gpu=2) for n in range(4)
        ]
        for block in blocks:
            block.runner.submit(job_json(SERVICE, ["sglang serve"]))
            block.runner.start()
        await until(lambda: all(block.runner.worker for block in blocks))
        assert [len(block.runner.metrics()["gpus"]) for block in blocks] == [2] * 4
        assert len({block.network.address for block in blocks}) == 4
        assert len({port for block in blocks for port in block.ports.values()}) == 8


async def test_slow_start_and_idle_time() -> None:
    async with open_site() as site:
        host = await site.host()
        site.pool.timings.creating = 600
        starts = asyncio.create_task(start_container(host, keys=[site.public]))
        await until(lambda: [each.status for each in host.containers.values()] == ["creating"])
        site.pool.timings.creating = 0
        container = await starts
        container.runner.submit(job_json(SERVICE, ["sglang serve"]))
        container.runner.start()
        assert container.runner.no_connections_since is not None
        async with site.tunnel(host, [8000], jump=10022):
            await until(lambda: container.runner.no_connections_since is None)
        await until(lambda: container.runner.no_connections_since is not None)


async def test_hosts_are_many_and_names_are_unique() -> None:
    async with open_site() as site:
        hosts = await asyncio.gather(*(site.host(f"h{n}") for n in range(120)))
        assert len({host.address for host in hosts}) == 120
        with pytest.raises(ValueError, match="already"):
            await site.host("h7")
        await site.pool.remove("h7")
        assert "h7" not in site.pool.hosts
        async with open_site() as other:
            elsewhere = await other.host()
            assert elsewhere.address not in {host.address for host in hosts}
