"""An emulated gateway, driven by the code of dstack's server that manages gateways."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from dstack._internal.core.errors import GatewayError
from dstack._internal.server import settings
from dstack._internal.server.services.gateways import (
    _GATEWAY_UPDATE_SCRIPT,
    configure_gateway_replica,
)
from dstack._internal.server.services.gateways.client import GatewayClient
from dstack._internal.server.services.gateways.connection import GatewayConnection

from dstack_placement.server.gateways import gateway_rotation
from dstack_placement.server.gateways.gateway_rotation import GatewayLook
from dstack_simulator.hosts import EmulatedGateway, HostSpec
from dstack_simulator.hosts.traffic import Traffic
from tests.builders.emulated_hosts import Site, open_site, start_job
from tests.waiting import until

SERVICE = {"type": "service", "port": 8000, "model": "some/model"}
RUN_ID = uuid.UUID(int=5)


@asynccontextmanager
async def gateway_site(
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[tuple[Site, EmulatedGateway, GatewayConnection]]:
    async with open_site() as site:
        spec = HostSpec("gw", cpus=2, memory_gib=4, disk_gib=20, kind="gateway")
        gateway = await site.pool.add_gateway(spec)
        monkeypatch.setattr(settings, "SERVER_DIR_PATH", site.folder)
        connection = GatewayConnection(gateway.address, site.private, 3000)
        connection.tunnel.port = gateway.ssh_port
        await connection.open()
        try:
            yield site, gateway, connection
        finally:
            async with connection.client() as client:
                await client._client.aclose()
            await connection.close()


async def register(client: GatewayClient, run_name: str = "My-Run", domain: str = "a.b") -> None:
    await client.register_service(
        project="Main", run_id=RUN_ID, run_name=run_name, domain=domain, service_https=False,
        gateway_https=False, auth=True, client_max_body_size=1, read_timeout=60, options={},
        rate_limits=[], ssh_private_key="key",
    )  # fmt: skip


async def register_replica(client: GatewayClient, job_id: uuid.UUID) -> None:
    # The client builds this from models of a running job; the gateway reads the id alone.
    answer = await client._client.post(
        client._url("/api/registry/main/services/my-run/replicas/register"),
        json={"job_id": job_id.hex, "app_port": 8000, "ssh_host": "root@localhost", "ssh_port": 1},
    )
    if answer.status_code == 400:
        raise GatewayError(answer.json()["detail"])
    answer.raise_for_status()


async def test_dstack_connects_configures_and_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    async with gateway_site(monkeypatch) as (_, gateway, connection):
        await configure_gateway_replica(connection, attempts=1)
        assert "acme_server" in gateway.config
        assert not await connection.check_or_restart()
        script = _GATEWAY_UPDATE_SCRIPT.replace("'", "'\"'\"'")
        said = await connection.tunnel.aexec(f"/bin/sh -c '{script}' sh dstack 0.22.5")
        assert said == "The build 0.22.5 is already installed. Skipping...\n"
        assert gateway.commands.unknown == []


async def test_services_and_replicas(monkeypatch: pytest.MonkeyPatch) -> None:
    async with gateway_site(monkeypatch) as (site, gateway, connection):
        host = await site.host()
        container = await start_job(host, SERVICE, ["sglang serve"])
        job_id = uuid.UUID(container.job_id)
        async with connection.client() as client:
            await register(client)
            with pytest.raises(GatewayError, match="already registered"):
                await register(client)
            with pytest.raises(GatewayError, match="already taken"):
                await register(client, run_name="other")
            await until(lambda: container.running)
            await register_replica(client, job_id)
            with pytest.raises(GatewayError, match="already exists"):
                await register_replica(client, job_id)
            with pytest.raises(GatewayError, match="cannot be connected to"):
                await register_replica(client, uuid.UUID(int=1))
            services = await client.list_services()
            assert [(s.id, s.project_name, s.run_name) for s in services] == [
                (RUN_ID.hex, "main", "my-run")
            ]
            assert [replica.id for replica in services[0].replicas] == [job_id.hex]
            await client.unregister_replica("main", "my-run", job_id)
            with pytest.raises(GatewayError, match="does not exist"):
                await client.unregister_replica("main", "my-run", job_id)
            await client.unregister_service("main", "my-run")
            assert not gateway.services
            with pytest.raises(GatewayError, match="not registered"):
                await client.unregister_service("main", "my-run")


async def test_traffic_reaches_the_statistics_and_the_replicas(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with gateway_site(monkeypatch) as (site, gateway, connection):
        host = await site.host()
        container = await start_job(host, SERVICE, ["sglang serve"])
        await until(lambda: container.runner.worker is not None)
        with pytest.raises(LookupError, match="not registered"):
            gateway.set_rps("my-run", 1)
        async with connection.client() as client:
            await register(client)
            await register_replica(client, uuid.UUID(container.job_id))
        gateway.set_rps("my-run", 6, for_seconds=300)
        await connection.try_collect_stats()
        stats = await connection.get_stats("main", "my-run")
        assert stats is not None
        assert {window: stat.requests for window, stat in stats.items()} == {
            30: 180, 60: 360, 300: 1800,
        }  # fmt: skip
        assert container.load.level() == 0.5
        gateway.set_rps("main/my-run", 0, for_seconds=60)
        async with connection.client() as client:
            fresh = {s.run_name: s.stats for s in await client.collect_stats()}["my-run"]
        assert (fresh[30].requests, fresh[60].requests, fresh[300].requests) == (0, 0, 1440)
        assert container.load.level() == 0
        with pytest.raises(ValueError, match="negative"):
            gateway.set_rps("my-run", -1)


async def ask(gateway: EmulatedGateway) -> int:
    """The status of the answer to a request to the service."""
    body = {"model": "some/model", "messages": [{"role": "user", "content": "Hello"}]}
    async with httpx.AsyncClient(base_url=gateway.web_address, trust_env=False) as client:
        url, host = "/v1/chat/completions", {"Host": "a.b"}
        return (await client.post(url, json=body, headers=host)).status_code


async def test_a_replica_that_loads_its_model_refuses_what_it_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without probes dstack registers it as soon as its commands run."""
    async with gateway_site(monkeypatch) as (site, gateway, connection):
        site.pool.timings.loading = 60
        container = await start_job(await site.host(), SERVICE, ["sglang serve"])
        await until(lambda: container.running)
        async with connection.client() as client:
            await register(client)
            await register_replica(client, uuid.UUID(container.job_id))
            assert await ask(gateway) == 502


async def test_requests_pass_until_a_replica_is_taken_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with gateway_site(monkeypatch) as (site, gateway, connection):
        host = await site.host()
        first, second = [
            await start_job(host, SERVICE, [f"sglang serve --port {port}"], network_mode="bridge")
            for port in (8000, 8001)
        ]
        jobs = [uuid.UUID(each.job_id) for each in (first, second)]

        async def take_out(job_id: uuid.UUID, *, is_last: bool = False) -> GatewayLook:
            command = gateway_rotation.command(job_id, is_last=is_last)
            return gateway_rotation.read_look(await connection.tunnel.aexec(command))

        async with connection.client() as client:
            await register(client)
            assert await ask(gateway) == 502
            for container, job_id in zip((first, second), jobs, strict=True):
                await until(lambda each=container: each.runner.worker is not None)
                await register_replica(client, job_id)
            site.pool.timings.answering = 60
            longest = [asyncio.create_task(ask(gateway)) for _ in range(2)]
            await until(lambda: sum(each.open for each in site.pool.requests()) == 2)
            site.pool.timings.answering = 0
            for _ in range(2):
                assert await take_out(jobs[0]) == GatewayLook(in_rotation=False, open=1)
                assert await ask(gateway) == 200
            assert await take_out(jobs[1]) == GatewayLook(in_rotation=True, open=1)
            assert await take_out(jobs[1], is_last=True) == GatewayLook(False, open=1)
            assert await ask(gateway) == 502
            # What dstack does then breaks off what is open.
            for job_id in jobs:
                await client.unregister_replica("main", "my-run", job_id)
            assert await take_out(jobs[1]) == GatewayLook(in_rotation=False, open=0)
            for task in longest:
                with pytest.raises(httpx.HTTPError):
                    await task
        assert gateway.commands.unknown == []


async def test_a_gateway_that_is_cut_off_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async with gateway_site(monkeypatch) as (_, gateway, connection):
        await gateway.set_reachable(False)

        async def is_down() -> bool:
            return not await connection.tunnel.acheck()

        await until(is_down, what="the tunnel to break")
        async with connection.client() as client:
            with pytest.raises(httpx.TransportError):
                await client.info()
        await gateway.set_reachable(True)
        assert await connection.check_or_restart()
        async with connection.client() as client:
            assert await client.list_services() == []


def test_traffic_adds_up_over_changes() -> None:
    traffic = Traffic()
    assert traffic.rate == 0
    assert traffic.requests(30) == 0
    traffic.set(10, since=20)
    traffic.set(1, since=10)
    assert traffic.requests(30) == 110
    assert traffic.requests(15) == 60
    traffic.set(2, since=400)
    assert traffic.requests(30) == 60
    assert traffic.rate == 2
