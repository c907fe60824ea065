"""Answers with slips: whatever a server sends, nothing but an error of `errors` comes of it.

Each mutation goes through reading twice, joining, problems, distribution, rollout, the commands'
tables and JSON, the tables of the screens, and the pages of one replica. The seed is printed;
`DSTACK_FLEETS_TESTS_MANY=1` tries more, `DSTACK_FLEETS_TESTS_SEED` the same again.
"""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from dstack_api_client import fault_log
from dstack_api_client.edits.base.base import fleet_of, service_of
from dstack_api_client.errors import ApiError
from dstack_api_client.events.stream import EventStream
from dstack_api_client.feed.feed import Feed
from dstack_api_client.feed.update import ConnectionState
from dstack_api_client.model.configuration import as_yaml
from dstack_api_client.model.replica import ReplicaKey
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.replica.watch import ReplicaWatch
from dstack_api_client.routers.watch import OverSsh, read_router
from dstack_api_client.transport.client import Client
from dstack_fleets_tui.headless.kinds import KINDS
from dstack_fleets_tui.names.selection import NoSuchNameError
from tests.builders import answers
from tests.builders.generation import PARTS, SEED, cases
from tests.builders.shown import show
from tests.builders.slips import Slips, at_once, whole_project

pytestmark = pytest.mark.usefixtures("no_fault_is_hidden")

#: Answers with slips of one client, one after the other.
PER_ROUND = 25
ROUNDS = cases(80)
#: The share of rounds whose answers go over HTTP.
_OVER_HTTP = 0.05
#: Seconds between two polls: what is read by turns is read at each.
_BETWEEN_POLLS = 60.0
#: The share of looks at routers where no slip is in their answers, and kinds of tables for a look.
_WITH_ROUTERS, _KINDS_SHOWN = 0.3, 3
_NOW = answers.START + timedelta(minutes=10)


@pytest.mark.generated
@pytest.mark.parametrize("part", PARTS)
async def test_no_slip_of_a_server_is_more_than_an_error(part: int) -> None:
    print(f"seed {SEED}")  # noqa: T201
    slips = Slips(whole_project())
    right = await _look(slips)
    escaped: dict[str, str] = {}
    for number in range(part, ROUNDS, len(PARTS)):
        rng = random.Random(SEED + number)
        slips.begin(rng)
        try:
            await _round(slips, rng, right)
        except Exception as error:
            said = f"seed {SEED + number}: {'; '.join(slips.done)}: {error!r}"
            escaped.setdefault(fault_log.place_of(error), said[-600:])
    assert escaped == {}


async def test_without_a_slip_all_of_it_is_read() -> None:
    snapshot = await _look(Slips(whole_project()))
    assert len(snapshot.services) == 2
    assert snapshot.placements
    assert snapshot.unreadable == ()
    assert [len(view.workers) for view in snapshot.routers.values()] == [2]


async def _look(slips: Slips) -> Snapshot:
    """Reads a project whose answers have no slips, and shows it."""
    async with at_once(slips, sleep=_no_sleep) as client:
        feed = Feed(client, "main", now=lambda: _NOW, monotonic=lambda: slips.seconds)
        for _ in range(2):
            await _poll(feed, slips)
        assert feed.snapshot is not None
        snapshot = await _with_routers(client, feed.snapshot)
        show(snapshot, feed, KINDS, _NOW)
    return snapshot


async def _round(slips: Slips, rng: random.Random, right: Snapshot) -> None:
    """Reads a project again and again, with a slip each time; without any it is read as it is."""
    over_http = rng.random() < _OVER_HTTP
    client = (
        Client(
            "http://server",
            "secret-token",
            transport=httpx.MockTransport(slips),
            sleep=_no_sleep,
        )
        if over_http
        else at_once(slips, sleep=_no_sleep)
    )
    async with client:
        feed = Feed(client, "main", now=lambda: _NOW, monotonic=lambda: slips.seconds)
        while slips.made < PER_ROUND:
            before = slips.made
            await _poll(feed, slips, full=rng.random() < 0.3)
            if feed.snapshot is not None:
                await _see(client, feed, slips, rng)
            if slips.made > before or rng.random() < 0.5:
                slips.another()
        slips.where = ""
        await _poll(feed, slips)
        assert feed.health.state is ConnectionState.LIVE, feed.health
        slips.is_away = True  # what the server can do is asked once for each connection
        await _poll(feed, slips)
        slips.is_away = False
        for _ in range(2):  # after which a record is forgotten that could not be read
            await _poll(feed, slips, full=True)
        assert feed.snapshot is not None
        assert _told(feed.snapshot) == _told(right)


async def _see(client: Client, feed: Feed, slips: Slips, rng: random.Random) -> None:
    """Shows all that there is to show, where anything is new; tables of some kinds."""
    assert feed.snapshot is not None
    service = next(iter(feed.snapshot.services), None)
    fleet = next(iter(feed.snapshot.fleets), None)
    feed.focus(opened_service=service, opened_fleet=fleet, services=list(feed.snapshot.services))
    snapshot = feed.snapshot
    if slips.where == "placement/router" or rng.random() < _WITH_ROUTERS:
        snapshot = await _with_routers(client, snapshot)
    show(snapshot, feed, rng.sample(list(KINDS), _KINDS_SHOWN), _NOW)
    await _pages(client, snapshot, slips.where)


async def _poll(feed: Feed, slips: Slips, *, full: bool = False) -> None:
    slips.seconds += _BETWEEN_POLLS
    async for _ in feed.poll(full=full):
        pass


async def _no_sleep(seconds: float) -> None:
    del seconds


def _told(snapshot: Snapshot) -> dict[str, Any]:
    """What a snapshot says that no events told."""
    return {
        # What an event said is not read again.
        "unreadable": [each for each in snapshot.unreadable if "Of the events" not in each],
        "fleets": {fleet.name: fleet.spec for fleet in snapshot.fleets.values()},
        "instances": {each.name: each.status for each in snapshot.instances.values()},
        "services": {each.name: (each.status, each.spec) for each in snapshot.services.values()},
        "replicas": {key: each.status for key, each in snapshot.replicas.items()},
        "placed": snapshot.placements.keys(),
    }


async def _with_routers(client: Client, snapshot: Snapshot) -> Snapshot:
    views = [
        await read_router(
            client, "main", snapshot, service, over_ssh=OverSsh.NONE, now=lambda: _NOW
        )
        for service in snapshot.services.values()
        if service.router is not None
    ]
    return replace(snapshot, routers={view.run_id: view for view in views if view is not None})


async def _pages(client: Client, snapshot: Snapshot, where: str) -> None:
    """What is read for one screen only, where the slip is in it."""
    if where == "events/list":
        stream = EventStream(client, "main", None, now=lambda: _NOW)
        for _ in range(2):
            async for _ in stream.poll():
                pass
    replica = next(iter(snapshot.replicas.values()), None)
    if replica is not None and where in ("runs/get", "metrics/job/chat", "logs/poll"):
        watch = ReplicaWatch(client, "main", ReplicaKey(replica.key.run_id, 0, 0), now=lambda: _NOW)
        watch.follow(replace(replica, run_name="chat"))
        async for _ in watch.poll(full=True):
            pass
    try:
        if where == "runs/get":
            body = await client.runs.body("main", "chat")
            as_yaml(service_of(client, "main", body).configuration)
        if where == "fleets/get":
            query = {"id": answers.ident(101)}
            body = await client.transport.read("/api/project/main/fleets/get", query, "it")
            as_yaml(fleet_of(client, "main", body).configuration)
    except (ApiError, NoSuchNameError):
        return
