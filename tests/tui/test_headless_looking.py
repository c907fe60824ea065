"""How much a command reads before it prints."""

from __future__ import annotations

import httpx

from dstack_api_client.distribution import distribution_of
from dstack_api_client.feed import Feed
from dstack_api_client.snapshot import Snapshot
from dstack_fleets_tui.headless.looking import placed, poll
from tests.api_client.addon_server import lane
from tests.api_client.fake_server import FakeServer
from tests.api_client.test_placement_reading import placed as server_with
from tests.api_client.test_placement_reading import run_id


async def read(server: FakeServer) -> Snapshot:
    """What a command would work on; the clock stands still."""
    async with server.client(monotonic=lambda: server.now) as client:
        feed = Feed(client, "main", monotonic=lambda: server.now)
        return await placed(feed, await poll(feed, full=True))


async def test_the_placement_of_every_service_is_read_however_many_there_are() -> None:
    server = server_with(11)
    for run in server.runs[:11]:
        short = lane("fleet-1", min_replicas=3, running=1, deficit=2)
        server.place(run, lanes=[short, lane("fleet-2")])
    snapshot = await read(server)
    assert set(snapshot.placements) == {run_id(server, f"s-{number}") for number in range(11)}
    assert [len(names) for names in server.wanted] == [4, 4, 3]
    for number in range(11):
        service = snapshot.services[run_id(server, f"s-{number}")]
        row = distribution_of(snapshot, service).rows[0]
        assert (row.min_replicas, row.deficit) == (3, 2)
        assert row.deficit_since is not None


async def test_what_the_add_on_does_not_tell_is_not_asked_for_again_and_again() -> None:
    server = server_with(6)
    del server.placements["s-2"]
    snapshot = await read(server)
    assert len(snapshot.placements) == 5
    assert len(server.wanted) <= 4


async def test_an_add_on_that_fails_leaves_what_the_jobs_tell() -> None:
    server = server_with(6)
    server.fail = lambda path: httpx.Response(500) if "placement/list" in path else None
    snapshot = await read(server)
    assert snapshot.placements == {}
    assert len(snapshot.services) == 7


async def test_a_stock_server_is_polled_once() -> None:
    server = server_with(6)
    server.features = []
    await read(server)
    by_reading = dict(server.asked)
    server.asked.clear()
    async with server.client(monotonic=lambda: server.now) as client:
        await poll(Feed(client, "main", monotonic=lambda: server.now), full=True)
    assert dict(server.asked) == by_reading
