"""Whatever happens on a server that tells of it by events, the feed ends up with what is there."""

from __future__ import annotations

import dataclasses
import random
import sys
from typing import Any

import httpx
import pytest

from dstack_api_client.model.replica import Link
from dstack_api_client.model.snapshot import Snapshot
from tests.builders.followed_feed import Followed, following, small
from tests.builders.generation import SEED, cases
from tests.servers.fake_server import FakeServer
from tests.servers.random_life import Life

_STEPS = 60


def told(snapshot: Snapshot) -> dict[str, Any]:
    """What a snapshot says, but for what only those know who saw the events."""
    replicas = {
        key: dataclasses.replace(replica, link=Link.UNKNOWN)
        for key, replica in snapshot.replicas.items()
    }
    instances = {
        key: dataclasses.replace(instance, idle_since=None)
        for key, instance in snapshot.instances.items()
    }
    services = {
        key: dataclasses.replace(service, jobs_known=True, replica_keys=())
        for key, service in snapshot.services.items()
    }
    running = {
        key: service.replica_keys
        for key, service in snapshot.services.items()
        if not service.finished
    }
    return {
        "fleets": snapshot.fleets,
        "instances": instances,
        "services": services,
        "running": running,
        "replicas": {key: replica for key, replica in replicas.items() if key.run_id in running},
    }


@pytest.mark.generated
@pytest.mark.parametrize("case", range(cases(12)))
async def test_the_feed_ends_up_with_what_is_there(case: int) -> None:
    seed = SEED + case
    sys.stdout.write(f"DSTACK_FLEETS_TESTS_SEED={seed}\n")
    rng = random.Random(seed)
    server = small()
    life = Life(server, rng)
    async with following(server) as followed:
        await followed.poll()
        for step in range(_STEPS):
            for _ in range(rng.randint(0, 4)):
                life.step()
            if rng.random() < 0.15:
                broken = rng.choice(["runs", "fleets", "events", "instances", "projects"])
                server.fail = lambda path, what=broken: (
                    httpx.Response(500) if what in path else None
                )
                await followed.poll(full=rng.random() < 0.3)
                server.fail = lambda path: None
            await followed.poll(full=rng.random() < 0.05)
            if step % 5 == 4:
                await compare(server, followed)


async def compare(server: FakeServer, followed: Followed) -> None:
    """Against a feed that reads everything for the first time."""
    async with following(server) as fresh:
        await fresh.poll(after=0)
        now = told(fresh.snapshot)
    before = told(followed.snapshot)
    for kind, items in now.items():
        assert before[kind] == items, kind
