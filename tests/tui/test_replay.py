"""A recording in the place of a server: the same screens, its own time, and nothing changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.errors import RecordingError
from dstack_api_client.recordings.reader import read_recording
from dstack_api_client.recordings.replay import Replay
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.app.reloading import Own
from dstack_fleets_tui.app.run import app_playing
from dstack_fleets_tui.live.lookout import Lookout
from dstack_fleets_tui.recorded import INCIDENT, read_named
from dstack_fleets_tui.screens.logs import LogsScreen
from dstack_fleets_tui.settings.settings import Settings
from tests.builders import answers
from tests.builders.followed_feed import small
from tests.builders.recordings import HandClock, record
from tests.screens import SIZE, filled, header, screen_text
from tests.servers.fake_server import FakeServer
from tests.waiting import until, until_equal

#: Fleets of the first poll; each other one has one more than the one before.
_FIRST = 3
_NOT_PLAYED = "This is for replays: start `dstack-fleets-tui --replay FILE`."


def growing(server: FakeServer) -> Iterator[None]:
    """Thirty polls, a minute."""
    for number in range(30):
        made = answers.fleet(10 + number)
        server.fleets.append(made)
        server.happens("Fleet created", ("fleet", made["id"], made["name"]))
        yield


async def played(folder: Path) -> tuple[FleetsApp, Replay, HandClock]:
    server, path, clock = small(), folder / "it.jsonl.gz", HandClock()
    await record(path, server, growing(server))
    replay = Replay(read_recording(path), monotonic=clock)
    settings = Settings()
    return (
        app_playing(
            replay,
            settings,
            store=Store(folder),
            own=lambda: Own(Settings(theme="nord", interval=9.0, insecure_http=True)),
            terminal_is_gone=lambda: False,
        ),
        replay,
        clock,
    )


async def command(pilot: Pilot[int], text: str) -> None:
    await pilot.press("colon", *text, "enter")


async def test_a_recording_is_played(tmp_path: Path) -> None:
    app, replay, clock = await played(tmp_path)

    def fleets() -> int:
        return len(app.snapshot.fleets) if app.snapshot is not None else 0

    def said() -> str:
        return app.said.log[-1].message if app.said.log else ""

    def into() -> float:
        return (replay.now() - replay.first).total_seconds()

    # Or the problems come up first.
    app.lookout.somebody_is_there = True
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await until_equal(fleets, _FIRST)
        assert "This was recorded from" in said()
        await until(lambda: " REPLAY 2026-03-01 " in header(app), what="the word for a replay")

        # Its time passes, and its polls come with it.
        clock.seconds += 10
        await until_equal(fleets, _FIRST + 5)
        await command(pilot, "speed 10")
        await until_equal(lambda: replay.speed, 10.0)
        clock.seconds += 1
        await until_equal(fleets, _FIRST + 10)
        await until(lambda: "×10" in header(app), what="the speed")

        # Steps pause it.
        await pilot.press("full_stop")
        await until_equal(fleets, _FIRST + 11)
        clock.seconds += 100
        await pilot.press("comma", "comma")
        await until_equal(fleets, _FIRST + 9)
        assert app.paused
        await until(lambda: "paused" in header(app), what="that it stands still")
        await pilot.press("p")
        await until_equal(lambda: app.paused, False)

        # Any time of it can be gone to.
        await command(pilot, "at end")
        await until_equal(fleets, _FIRST + 29)
        await until(lambda: " end " in header(app), what="that it is its end")
        await command(pilot, "at -20s")
        await until_equal(fleets, _FIRST + 19)
        moment = (replay.first + timedelta(seconds=6)).astimezone()
        await command(pilot, f"at {moment:%H:%M:%S}")
        await until_equal(fleets, _FIRST + 3)
        assert into() == 6
        for text, answer in (
            ("at 99", "There is no such time. Write a time as 03:12 or 03:12:30, or +1m, -30s"),
            ("at 01:02", "The recording is from 2026-03-01"),
            ("speed fast", "A speed is a number from 0.1 to 1000."),
        ):
            await command(pilot, text)
            await until(lambda answer=answer: said().startswith(answer), what=answer)

        # Settings are read again, but for those of how a server is read.
        await command(pilot, "reload")
        await until_equal(lambda: app.theme, "nord")
        assert "Changed: theme." in [each.message for each in app.said.log]
        assert app.interval == replay.recording.head.interval

        # Nothing is changed, and what was not recorded is said.
        for key in ("e", "N", "D", "C"):
            before = len(app.said.log)
            await until(lambda: not isinstance(app.focused, Input), what="the list in front")
            await pilot.press(key)
            await until_equal(lambda: len(app.said.log), before + 1)
            assert said() == "This is a replay: nothing can be changed."
        await command(pilot, "logs s-0")
        await until(lambda: isinstance(app.screen, LogsScreen), what="the logs")
        await until(
            lambda: "The recording does not hold the logs of s-0." in screen_text(app),
            what="that there are none",
        )
        await pilot.press("escape", "4")
        await until(lambda: "Fleet created" in screen_text(app), what="the events")


async def test_what_is_for_replays_is_not_elsewhere(tmp_path: Path) -> None:
    app, *_ = await played(tmp_path)
    app.replay = None
    # Or the problems come up first.
    app.lookout.somebody_is_there = True
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        assert "step" not in screen_text(app)
        await pilot.press("full_stop")
        await until(lambda: _NOT_PLAYED in screen_text(app), what="that nothing is played")


def test_the_incident_that_is_shipped_is_played() -> None:
    replay = Replay(read_named(INCIDENT), monotonic=HandClock())
    assert not replay.cut
    lookout, before, seen = Lookout(), None, list[tuple[str, str]]()
    for update in replay.due(replay.last):
        assert update.snapshot is not None
        lookout.look(update, before, update.snapshot.observed_at, replay.events)
        before = update.snapshot
        seen += [(f"{each.subject}", each.text) for each in lookout.problems]
        if replay.first == update.health.last_success:
            assert not seen
    told = " ".join(f"{subject} {text}" for subject, text in dict.fromkeys(seen))
    assert "gpu-spot 2 of 4 instances unreachable: 1, 2; on them: chat-70b decode 6" in told
    assert "chat-70b decode 6: no place yet: gpu-reserved has no room" in told
    assert "chat-70b decode 3: ready for the router while dstack's probes fail" in told
    assert before is not None
    assert all(each.ready for each in before.replicas.values() if each.active)


def test_no_recording_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordingError) as found:
        read_named(str(tmp_path / "nowhere.gz"))
    assert str(found.value).endswith(
        "nowhere.gz can't be read: No such file or directory."
        " Name a file that was made with --record, or `incident`."
    )
