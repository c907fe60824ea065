"""What is known of a router on a stock server: over SSH, by one's own configuration, or not."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dstack_api_client.model.capabilities import Capabilities
from dstack_api_client.model.replica import Login
from dstack_api_client.model.router import RouterStatus, Source, Sync
from dstack_api_client.routers.sources import SshSource
from dstack_api_client.routers.watch import OverSsh
from dstack_simulator.handle.handle import Handle
from tests.servers.routed_services import living, looking, slot
from tests.waiting import until

pytestmark = pytest.mark.e2e

WORKERS = {"prefill1", "decode2", "decode3"}


async def test_over_ssh_with_the_users_key_from_the_server(demo_sim: Handle) -> None:
    async with looking(demo_sim) as seen:
        snapshot = await seen.snapshot()
        assert snapshot.capabilities == Capabilities(snapshot.server.version)
        assert snapshot.capabilities.abilities == ()
        view = await seen.until("chat-70b", RouterStatus.READY)
        assert (view.source, view.ready, view.expected) == (Source.SSH, 3, 3)
        assert {slot(worker): worker.sync for worker in view.workers} == dict.fromkeys(
            WORKERS, Sync.IN_SYNC
        )


async def test_with_neither_it_is_unknown_and_the_jobs_tell_what_they_can(
    demo_sim: Handle,
) -> None:
    async with looking(demo_sim, over_ssh=OverSsh.NONE) as seen:
        snapshot = await seen.snapshot()
        service = snapshot.service_named("chat-70b")
        assert service is not None
        view = snapshot.routers[service.id]
        assert (view.status, view.source) == (RouterStatus.UNKNOWN, Source.NONE)
        assert "no placement add-on" in view.message
        assert {slot(worker) for worker in view.workers} == WORKERS
        for worker in view.workers:
            assert (worker.sync, worker.router_health) == (Sync.UNKNOWN, None)
            assert (worker.job_status, worker.probes_passed) == ("running", True)
            assert worker.role == worker.group
            assert worker.url is not None
            assert worker.url.endswith(":8000")


async def test_by_what_dstack_is_attached_to_where_the_run_is_anothers(
    demo_sim: Handle, tmp_path: Path
) -> None:
    async with looking(demo_sim) as seen:
        snapshot = await seen.snapshot()
        service = snapshot.service_named("chat-70b")
        assert service is not None
        (router,) = [
            replica for key in service.replica_keys if (replica := snapshot.replicas[key]).is_router
        ]
        assert router.login is not None
        anothers = replace(router, login=replace(router.login, key="ssh-rsa AAAA another"))

        # As while `dstack attach` runs: its configuration knows the name of the run.
        user = await seen.client.transport.read("/api/users/get_my_user", {}, "the user")
        key = tmp_path / "key"
        key.touch(mode=stat.S_IRUSR | stat.S_IWUSR)
        key.write_text(_private_key(user))
        config = tmp_path / "config"
        config.write_text(_attached(service.name, router.login, key))
        ssh = SshSource(
            seen.client, folder=tmp_path, attached=config, now=lambda: snapshot.observed_at
        )
        try:
            look = await ssh.look(service, anothers)
            assert look.source is Source.SSH
            assert (len(look.workers), look.ready, look.message) == (3, True, "")
        finally:
            await ssh.close()

        unknown = SshSource(
            seen.client,
            folder=tmp_path,
            attached=tmp_path / "none",
            now=lambda: snapshot.observed_at,
        )
        look = await unknown.look(service, anothers)
        await unknown.close()
        assert f"lets only the key of {service.user} in" in look.message
        assert _names(tmp_path) == ["config", "key"]


def _attached(name: str, login: Login, key: Path) -> str:
    """What `dstack attach` writes."""
    hosts = [f"{name}-host", name][-len(login.hops) :]
    lines: list[str] = []
    for number, (host, hop) in enumerate(zip(hosts, login.hops, strict=True)):
        lines += [
            f"Host {host}",
            f"    HostName {hop.host}",
            f"    Port {hop.port}",
            f"    User {hop.user}",
            f"    IdentityFile {key}",
            "    IdentitiesOnly yes",
            "    StrictHostKeyChecking no",
            "    UserKnownHostsFile /dev/null",
        ]
        if number:
            lines.append(f"    ProxyJump {hosts[number - 1]}")
    return "\n".join(lines) + "\n"


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


_PROGRAM = """
import asyncio, os, signal, sys
from dstack_api_client.transport.client import Client
from dstack_api_client.feed.feed import Feed
from dstack_api_client.routers.watch import RouterWatch

async def main():
    async with Client(sys.argv[1], sys.argv[2]) as client:
        watch = RouterWatch(client, sys.argv[3])
        feed = Feed(client, sys.argv[3], routers=watch)
        async for _ in feed.poll():
            pass
        service = feed.snapshot.service_named("chat-70b")
        feed.focus(opened_service=service.id)
        await watch.look(service.id)
        print(watch.see(feed.snapshot, {})[service.id].status.value, *watch.ssh_pids, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_ssh_does_not_outlive_a_dashboard_that_is_killed(
    demo_sim: Handle, tmp_path: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PROGRAM, demo_sim.url, demo_sim.token, demo_sim.project),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    output, _ = await process.communicate()
    assert process.returncode == -signal.SIGKILL
    state, group = output.decode().split()
    assert state == "ready"
    await until(lambda: not living(int(group)), what="ssh has ended")
    # Its folder was left, and no key in it: that was there only while the connection was made.
    (left,) = _names(tmp_path)
    assert _names(tmp_path / left) == []


def _private_key(answer: bytes) -> str:
    found: str = json.loads(answer)["ssh_private_key"]
    return found
