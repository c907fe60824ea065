"""The feed against the real server: what it joins is what the server's database says."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from dstack_api_client.feed.feed import Feed
from dstack_api_client.feed.update import ConnectionState
from dstack_api_client.model.replica import Link
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.transport.client import Client
from dstack_simulator.handle.handle import Handle
from tests.waiting import until

pytestmark = pytest.mark.e2e


async def first_read(feed: Feed) -> Snapshot:
    updates = [update async for update in feed.poll()]
    assert feed.health.state is ConnectionState.LIVE, feed.health.message
    assert updates[-1].snapshot is not None
    assert updates[-1].snapshot.complete
    return updates[-1].snapshot


async def poll_size(feed: Feed) -> int:
    """What a poll brought, without the page of the full read in the background after it."""
    meter = feed._client.meter
    before = meter.bytes
    sizes = [meter.bytes async for _ in feed.poll()]
    return sizes[0] - before


def instances_of_jobs(sim: Handle) -> dict[str, str]:
    """The instance of each active job, as the server itself knows it."""
    database = sim.folder.server / "data" / "sqlite.db"
    ended = ("TERMINATED", "ABORTED", "FAILED", "DONE")
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        rows = connection.execute(
            "SELECT id, instance_id FROM jobs WHERE instance_id IS NOT NULL"
            f" AND upper(status) NOT IN {ended}"
        )
        return {str(UUID(job)): str(UUID(instance)) for job, instance in rows}


@pytest.fixture
async def large(large_sim: Handle) -> AsyncIterator[Feed]:
    async with Client(large_sim.url, large_sim.token) as client:
        yield Feed(client, large_sim.project)


@pytest.mark.slow
async def test_every_replica_is_on_the_instance_that_the_server_put_it_on(
    large_sim: Handle, large: Feed
) -> None:
    snapshot = await first_read(large)
    assert len(snapshot.fleets) == 10
    assert len(snapshot.instances) == 1000
    assert len(snapshot.services) == 100
    assert len(snapshot.replicas) == 3000
    known = {
        replica.submission_id: replica.instance_id
        for replica in snapshot.replicas.values()
        if replica.link in (Link.HOST, Link.EXACT)
    }
    real = instances_of_jobs(large_sim)
    assert len(known) > 2900
    assert {job: real.get(job) for job in known} == known


@pytest.mark.slow
async def test_a_poll_costs_little_and_shows_another_client_s_change(
    large_sim: Handle, large: Feed
) -> None:
    snapshot = await first_read(large)
    services = list(snapshot.services.values())
    large.focus(services=[service.id for service in services[:20]], opened_service=services[0].id)
    sizes = [await poll_size(large) for _ in range(20)]
    assert sum(sizes) / len(sizes) < 50_000

    large.focus()
    touched = await large_sim.touch_run(services[30].name)
    updates = [update async for update in large.poll()]
    assert updates[0].difference.services.changed == {touched["id"]}
    after = updates[0].snapshot
    assert after is not None
    assert after.services[touched["id"]].priority != services[30].priority
    unchanged = [service for service in services if service.id != touched["id"]]
    assert all(after.services[service.id] is service for service in unchanged[40:])


async def test_the_demo_is_joined_as_the_server_knows_it(demo_sim: Handle) -> None:
    async with Client(demo_sim.url, demo_sim.token) as client:
        feed = Feed(client, demo_sim.project)
        await first_read(feed)

        async def placed() -> bool:
            """The demo goes on by itself, so both sides are read until they agree."""
            async for update in feed.poll():
                snapshot = update.snapshot
            assert snapshot is not None
            known = {
                replica.submission_id: replica.instance_id
                for replica in snapshot.replicas.values()
                if replica.status == "running"
            }
            real = instances_of_jobs(demo_sim)
            return len(known) > 5 and {job: real.get(job) for job in known} == known

        await until(placed, limit=30, what="every running job on its instance")
        snapshot = feed.snapshot
        assert snapshot is not None
        links = {replica.link for replica in snapshot.replicas.values() if replica.ready}
        assert links <= {Link.EXACT, Link.HOST}
        shared = [i for i in snapshot.instances.values() if len(i.jobs) > 1]
        assert shared
        # As the server counts them: where replicas come and go at once, it may be off.
        counted = {
            instance["id"]: instance["busy_blocks"]
            for fleet in await demo_sim.api("fleets/list")
            for instance in fleet["instances"]
        }
        assert {i.id: i.busy_blocks for i in shared} == {i.id: counted[i.id] for i in shared}
        idle = [i for i in snapshot.instances.values() if i.status == "idle"]
        assert all(instance.idle_since is not None for instance in idle)
        assert {fleet.kind for fleet in snapshot.fleets.values()} == {"ssh", "cloud"}
        assert any(service.router == "smg" for service in snapshot.services.values())
        assert feed.events
