"""Projects with slips in most of their records, painted in the running dashboard.

What `test_mutated_records` makes the cells of, for a sample: one app is given one project after the
other, goes through all lists, and opens a service and a replica of each. The seed is printed;
`DSTACK_FLEETS_TESTS_SEED` brings the same again.
"""

from __future__ import annotations

from typing import Any

import pytest

from dstack_api_client.feed.feed import Feed
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.transport import wire
from dstack_fleets_tui.app.app import FleetsApp
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.crowd import VERSIONS, Crowd
from tests.builders.generation import MANY, SEED
from tests.builders.halving import Slips, halved
from tests.builders.slips import at_once
from tests.painting import all_painted
from tests.screens import SIZE, filled

#: Projects that are painted.
PROJECTS = 12 * max(1, MANY)
#: Polls that are read of each, and the share of records with slips in each.
_POLLS, _SHARE = 2, 0.9
_BETWEEN_POLLS = 60.0


@pytest.mark.slow
@pytest.mark.generated
async def test_what_has_slips_is_painted() -> None:
    print(f"seed {SEED}")  # noqa: T201
    painted = 0
    feed = GivenFeed(live((await _project(0, []))[1]))
    app = app_on(feed)
    number = 0
    try:
        async with app.run_test(size=SIZE) as pilot:
            await filled(app)
            for number in range(PROJECTS):
                crowd, snapshot, feed.events = await _project(number)
                painted += len(crowd.tried)
                await _paint(app, pilot, snapshot)
    except Exception as error:
        raise AssertionError(await _named(number, error)) from error
    print(f"{painted} slips painted")  # noqa: T201


@pytest.mark.slow
async def test_what_can_not_be_painted_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The app ends over a record that could not be read, as if nobody had thought of it."""

    def broken(app: FleetsApp, snapshot: Snapshot) -> None:
        assert not snapshot.unreadable

    monkeypatch.setattr(FleetsApp, "_notice_unreadable", broken)
    said = await _named(0, AssertionError("the app ended"))
    assert said.count("Key(kind=") == 1, said


async def _paint(app: FleetsApp, pilot: Any, snapshot: Snapshot) -> None:
    """Has the app show a project, in each of its lists and in what is opened of it."""
    connection = app.session.connection
    app.post_message(app.Read(live(snapshot, app.snapshot), connection))  # type: ignore[arg-type]
    for show in (app.do_services, app.do_problems, app.do_events, app.do_runs, app.do_fleets):
        await _painted(app, pilot)
        show("")
    await _painted(app, pilot)
    for service in list(snapshot.services)[:1]:
        app.open_service(service)
        await _painted(app, pilot)
        await pilot.press("d", "o", "escape")
    for replica in list(snapshot.replicas)[:1]:
        app.open_replica(replica)
        await _painted(app, pilot)
        await pilot.press("escape")
    while len(app.screen_stack) > 1:
        await _painted(app, pilot)
        await pilot.press("escape")


async def _painted(app: FleetsApp, pilot: Any) -> None:
    """Waits until all is painted, unless the app has ended."""
    await pilot.pause()
    assert app.is_running
    await all_painted(app, pilot)


async def _project(
    number: int, only: Slips | None = None
) -> tuple[Crowd, Snapshot, list[wire.Event]]:
    """A project with slips, as it was read."""
    crowd = Crowd(VERSIONS[number % len(VERSIONS)])
    async with at_once(crowd) as client:
        feed = Feed(client, "main", now=lambda: crowd.now, monotonic=lambda: crowd.seconds)
        for _ in range(_POLLS):
            crowd.next_poll(f"{SEED} {number}", _SHARE, only)
            crowd.seconds += _BETWEEN_POLLS
            async for _ in feed.poll(full=True):
                pass
            assert feed.snapshot is not None
            feed.focus(services=list(feed.snapshot.services), fleets=list(feed.snapshot.fleets))
        return crowd, feed.snapshot, [*feed.events]


async def _named(number: int, error: Exception) -> str:
    """The slip that brought up a failure, each try in an app of its own."""

    async def fails(slips: Slips) -> bool:
        feed = GivenFeed(live((await _project(number, []))[1]))
        app = app_on(feed)
        try:
            async with app.run_test(size=SIZE) as pilot:
                await filled(app)
                _, snapshot, feed.events = await _project(number, slips)
                await _paint(app, pilot, snapshot)
        except Exception:
            return True
        return False

    crowd, _, _ = await _project(number)
    at = await halved(list(crowd.tried), fails)
    crowd, _, _ = await _project(number, at)
    return f"seed {SEED}, project {number}: {[*crowd.tried.items()]}: {error!r}"[:2000]
