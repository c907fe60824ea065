"""The dashboard on a network that fails: it goes on, says that it is stale, and comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from dstack_api_client.connect.connection import Connection, Sources
from dstack_api_client.edits.base.base import read_service
from dstack_api_client.edits.perform import performing
from dstack_api_client.edits.plan import applying
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.feed.feed import Feed
from dstack_api_client.feed.update import ConnectionState, Update
from dstack_api_client.transport.client import Client
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.live.source import Source
from dstack_fleets_tui.screens.edit.applying import ApplyScreen
from dstack_fleets_tui.screens.edit.plan import PlanScreen
from dstack_fleets_tui.screens.edit.service import EditScreen
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_fleets_tui.settings.settings import Settings
from tests.builders import answers
from tests.builders.audit_log import ends
from tests.builders.changing_dashboard import in_front, shown
from tests.builders.hurried_edits import hurry, no_sleep
from tests.screens import header, screen_text
from tests.servers.faulty_proxy import FaultyProxy, faulty_proxy
from tests.servers.network_faults import HARMLESS, SHORT, crossed
from tests.servers.networked_server import NetworkedServer
from tests.waiting import until

TOKEN = "secret-token"
#: Seconds between two polls: few are waited for, and each costs more than what is tried.
_INTERVAL = 0.3
#: Screens to be on while the network fails.
SCREENS = ["services", "service", "replica", "fleet", "problems", "events", "editor"]
#: What is beside the lists, and what is seen of it.
BESIDE = ["placement/get_info", "placement/list", "placement/get"]


class WatchedFeed(Feed):
    """A feed with the last that each of its polls brought."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.brought: list[Update] = []

    async def poll(self, *, full: bool = False) -> AsyncIterator[Update]:
        last = None
        async for last in super().poll(full=full):
            yield last
        if last is not None:
            self.brought.append(last)


def brought(app: FleetsApp) -> list[Update]:
    """What each poll of an app brought in the end."""
    assert app.source is not None
    feed = app.source.feed
    assert isinstance(feed, WatchedFeed)
    return feed.brought


@asynccontextmanager
async def on_proxy(
    home: Path,
) -> AsyncIterator[tuple[FleetsApp, Pilot[int], FaultyProxy]]:
    """The dashboard behind a proxy, all of it read."""
    async with faulty_proxy(NetworkedServer()) as proxy:
        client = _client(proxy)
        feed = WatchedFeed(client, "main")

        @asynccontextmanager
        async def opened(connection: Connection) -> AsyncIterator[Source]:
            yield Source(feed, client, connection.project)

        app = FleetsApp(
            Connection(proxy.url, "main", TOKEN, Sources("here", "here", "here")),
            Settings(interval=_INTERVAL),
            open_source=opened,
            terminal_is_gone=lambda: False,
            store=Store(home),
        )
        app.lookout.somebody_is_there = True
        async with client, app.run_test(size=(140, 40)) as pilot:
            await until(lambda: app.snapshot is not None and app.snapshot.complete, what="data")
            yield app, pilot, proxy
            assert app.is_running, "the dashboard has ended"
        assert proxy.strangers == []
        _has_no_token(home)


def _has_no_token(folder: Path) -> None:
    for file in folder.rglob("*"):
        assert not file.is_file() or TOKEN not in file.read_text()


def _client(proxy: FaultyProxy) -> Client:
    """A client that gives only those answers little time whose fault takes time."""
    client = Client(proxy.url, TOKEN, sleep=no_sleep)
    transport = client.transport
    send, longest = transport._send, transport._longest

    async def sent(path: str, *arguments: Any) -> bytes:
        transport._longest = SHORT if proxy.timed and proxy.hits(path) else longest
        return await send(path, *arguments)

    transport._send = sent  # type: ignore[method-assign]
    return client


async def open_screen(app: FleetsApp, pilot: Pilot[int], name: str) -> None:
    """Goes to a screen."""
    assert app.snapshot is not None
    (run_id,) = app.snapshot.services
    if name in ("services", "problems", "events"):
        await pilot.press({"services": "2", "problems": "3", "events": "4"}[name])
    elif name in ("service", "editor"):
        app.open_service(run_id)
        await shown(app, ServiceScreen)
        if name == "editor":
            await pilot.press("e")
            await shown(app, EditScreen)
    elif name == "replica":
        app.open_replica(next(iter(app.snapshot.replicas)))
    else:
        app.open_fleet(next(iter(app.snapshot.fleets)))
    await pilot.pause()


async def _is_stale(app: FleetsApp) -> None:
    await until(lambda: app.health.state is not ConnectionState.LIVE, what="that it fails")
    before = app.snapshot
    assert before is not None
    assert len(before.services) in (1, 2)
    said = f"{app.health.message} {app.health.hint}"
    assert app.health.message
    assert app.health.hint
    assert TOKEN not in said
    assert TOKEN not in screen_text(app)
    assert not any(TOKEN in each.message for each in app.said.log)
    if app.health.state is ConnectionState.STALE:
        await until(lambda: "stale" in header(app).lower(), what="that it is said")


async def _comes_back(app: FleetsApp, proxy: FaultyProxy) -> None:
    """With the next poll that begins once the network works."""
    proxy.works()
    app.do_refresh("")
    seen = len(brought(app))
    await until(lambda: any(map(_is_whole, brought(app)[seen:])), what="live")
    failed = [each for each in brought(app)[seen:] if not _is_whole(each)]
    assert len(failed) <= 1, "but for the poll that was under way it comes back at once"
    await until(
        lambda: app.snapshot is not None and len(app.snapshot.services) == 2, what="what is new"
    )


def _is_whole(update: Update) -> bool:
    """Whether a poll read all that it should."""
    snapshot = update.snapshot
    is_live = update.health.state is ConnectionState.LIVE
    return is_live and snapshot is not None and not snapshot.placement_failure


@pytest.mark.parametrize(("fault", "screen"), crossed([(name,) for name in SCREENS], one_of=6))
async def test_it_is_stale_and_comes_back(tmp_path: Path, fault: str, screen: str) -> None:
    async with on_proxy(tmp_path) as (app, pilot, proxy):
        await open_screen(app, pilot, screen)
        proxy.server.runs.append(answers.run(2, answers.job(0, name="new"), name="new"))
        proxy.fails(fault)
        app.do_refresh("")
        await _is_stale(app)
        await pilot.press("ctrl+r")
        await pilot.press("down")
        await _comes_back(app, proxy)
        assert proxy.server.writes == []


@pytest.mark.parametrize(("fault", "end"), crossed([(end,) for end in BESIDE], one_of=2))
async def test_a_placement_that_can_not_be_read_is_said_and_comes_back(
    tmp_path: Path, fault: str, end: str
) -> None:
    async with on_proxy(tmp_path) as (app, pilot, proxy):
        await open_screen(app, pilot, "service")
        proxy.fails("reset before", "events/list")  # so that all is asked again
        await until(lambda: app.health.state is not ConnectionState.LIVE, what="that it fails")
        assert app.snapshot is not None
        before = app.snapshot
        if end == "placement/get":
            proxy.server.features.remove("list")  # type: ignore[attr-defined]
        proxy.server.runs.append(answers.run(2, answers.job(0, name="new"), name="new"))
        asked = len(proxy.asked)
        proxy.fails(fault, end)
        await until(
            lambda: any(path.endswith(end) for path in proxy.asked[asked:]), what="the question"
        )
        seen = len(brought(app))
        await until(lambda: len(brought(app)) > seen + 1, what="polls")
        assert app.snapshot.placements.keys() <= before.placements.keys()
        if app.health.state is ConnectionState.LIVE:
            assert app.snapshot.placement_failure
            await until(lambda: "placement not read" in header(app), what="that it is said")
            assert app.snapshot.capabilities.has_addon, "what was known stays"
        else:
            await _is_stale(app)
        await _comes_back(app, proxy)


@pytest.mark.parametrize("fault", HARMLESS)
async def test_what_comes_all_the_same_is_shown(tmp_path: Path, fault: str) -> None:
    async with on_proxy(tmp_path) as (app, pilot, proxy):
        proxy.fails(fault)
        seen = len(brought(app))
        await until(lambda: len(brought(app)) > seen + 3, what="polls")
        states = {each.health.state for each in brought(app)[seen:]}
        assert states == {ConnectionState.LIVE}
        await pilot.press("ctrl+r")


@pytest.mark.parametrize(("fault", "after"), crossed([("all fails",), ("it can be read",)]))
async def test_a_change_is_sent_once_and_what_became_of_it_is_said(
    tmp_path: Path, fault: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    monkeypatch.setattr(applying, "UNREADABLE_LIMIT", 0.0)
    monkeypatch.setattr(performing, "_READ_AGAIN", 0.05)
    store = Store(tmp_path)
    async with on_proxy(tmp_path) as (app, pilot, proxy):
        server = proxy.server
        async with _client(proxy) as client:
            before = await read_service(client, "main", "chat")
            server.runs[0]["run_spec"]["configuration"]["priority"] = 7
            server.runs[0]["deployment_num"] += 1
            store.keep_applied(before, await read_service(client, "main", "chat"))
        await open_screen(app, pilot, "service")
        await pilot.press("u")
        await shown(app, PlanScreen)
        proxy.fails(fault, "runs/apply")
        broken = proxy.fault

        async def from_now_on(line: Any, answer: httpx.Response) -> None:
            proxy.paths = ("runs/apply", "runs/get")
            await broken(line, answer)

        if after == "all fails":
            proxy.fault = from_now_on
        await pilot.press("right", "enter")
        await until(lambda: in_front(app, ApplyScreen), what="the change")
        screen = app.screen

        def text() -> str:
            return str(screen.query_one("#text", Static).content)

        if after == "all fails":
            await until(lambda: "whether it was made is not known" in text(), what="the doubt")
            assert "not applied" not in text()
            proxy.works()
        await until(lambda: "was applied" in text(), what="what became of it")
        assert TOKEN not in screen_text(app)
        assert len(server.writes) == 1
    assert not any("not applied" in end["result"] for end in ends(store.audit_path))
