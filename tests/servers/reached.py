"""Waiting until requests reach what runs: the server needs some seconds after the last probe."""

from __future__ import annotations

from dstack_api_client.connect.connection import Connection, Sources
from dstack_fleets_tui.headless.get import observe
from dstack_fleets_tui.headless.looking import Asked
from dstack_simulator.handle.handle import Handle
from tests.waiting import until


async def reached(sim: Handle) -> None:
    """Waits until the server sends requests to every replica whose probes pass."""
    here = Sources("test", "test", "test")
    connection = Connection(sim.url, sim.project, sim.token, here)

    async def all_are() -> bool:
        look = await observe(connection, Asked("replicas", ssh=False))
        return not any(replica.unreached for replica in look.snapshot.replicas.values())

    await until(all_are, limit=60, every=1.0, what="requests reach all replicas that are ready")
