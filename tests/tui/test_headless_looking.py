"""How much a command reads before it prints."""

from __future__ import annotations

import json

import httpx
import pytest

from dstack_api_client.analysis.distribution import distribution_of
from dstack_api_client.analysis.since import Since
from dstack_api_client.feed.feed import Feed
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.transport.client import Client
from dstack_fleets_tui.headless.kinds.problems import date
from dstack_fleets_tui.headless.looking import placed, poll
from tests.builders import answers
from tests.builders.placed_services import placed as server_with
from tests.builders.placed_services import run_id
from tests.servers.addon_answers import lane
from tests.servers.fake_server import FakeServer


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
        assert (row.minimum, row.deficit) == (3, 2)
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


@pytest.mark.parametrize("number", [1, 16, 17, 40])
async def test_instances_are_dated_in_groups_that_a_request_may_name(number: int) -> None:
    server = FakeServer()
    server.fleets = [answers.fleet(1)]
    server.instances = [
        answers.instance(each, server.fleets[0], unreachable=True) for each in range(number)
    ]
    asked: list[int] = []

    def limited(request: httpx.Request) -> httpx.Response:
        query = json.loads(request.content) if request.content else {}
        wanted = query.get("target_instances", ())
        if len(wanted) > 16:
            return httpx.Response(422, json={"detail": [{"msg": "at most 16 items"}]})
        asked.append(len(wanted))
        return server(request)

    transport = httpx.MockTransport(limited)
    async with Client("http://server", "secret-token", transport=transport) as client:
        snapshot = await poll(Feed(client, "main"), full=True)
        asked.clear()
        assert await date(client, snapshot, Since()) == ()
    assert sum(asked) == number
    assert max(asked) <= 16


async def test_a_question_for_dates_that_fails_is_a_note() -> None:
    server = FakeServer()
    server.fleets = [answers.fleet(1)]
    server.instances = [answers.instance(1, server.fleets[0], unreachable=True)]
    async with server.client() as client:
        snapshot = await poll(Feed(client, "main"), full=True)
        refusal = httpx.Response(400, json={"detail": [{"msg": "No.", "code": None}]})
        server.fail = lambda path: refusal if path == "/api/events/list" else None
        (note,) = await date(client, snapshot, Since())
    assert "is not known" in note
