"""The logs of all replicas of a service, on one screen."""

from __future__ import annotations

import stat
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from dstack_api_client import errors
from dstack_api_client.edits.store.keeping import Store
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.screens.logs import LogsScreen
from dstack_fleets_tui.screens.problems import ProblemsScreen
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_fleets_tui.tables.service_logs import colours
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.memory_client import START, GivenClient
from tests.builders.snapshots import instance, replica, service, snapshot
from tests.screens import brought, on_screen, screen_text, summary, table
from tests.waiting import until, until_equal

GROUPS = ("prefill", "decode", "decode")
NOW = START + timedelta(minutes=20)
LONG = f"engine.py:812] {' and '.join(f'figure {each}' for each in range(12))} the-end"


@dataclass
class Opened:
    app: FleetsApp
    pilot: Any
    client: GivenClient
    shot: Any

    @property
    def log(self):
        return self.app.screen.log_lines

    @property
    def texts(self):
        return [line.text for line in self.log.passing]

    async def press(self, *keys):
        await self.pilot.press(*keys)

    async def has(self, *texts):
        await until_equal(lambda: self.texts, list(texts))

    async def says(self, text):
        await until(lambda: text in screen_text(self.app), what=text)

    async def tells(self, text):
        """A notice does."""
        await until(lambda: any(text in each.message for each in self.app.said.log), what=text)

    async def read(self):
        """Has the logs read now."""
        asked = self.client.asked["logs"]
        self.app.screen.reread()
        await until(lambda: self.client.asked["logs"] > asked)


def shot(*groups: str, **broken: object):
    made = [
        replica("chat", number, group=group, role=group)
        for number, group in enumerate(groups or GROUPS)
    ]
    chat = service(replica_keys=tuple(each.key for each in made))
    taken = snapshot(
        services=[chat],
        replicas=made,
        instances=[instance(jobs=tuple(each.key for each in made), **broken)],
    )
    return replace(taken, observed_at=NOW)


@asynccontextmanager
async def opened(size=(80, 24), *, write=True, settings=None, tmp_path: Path | None = None):
    client = GivenClient()
    client.logs_by = {f"j-chat-{number}": [] for number in range(4)}
    if write:
        client.write("loading", at=600, by="j-chat-0")
        client.write("GET /health 200", at=602, by="j-chat-1")
        client.write("POST /v1/chat 503", at=601, by="j-chat-2")
        client.write("GET /health 503", at=603, by="j-chat-0")
    given = shot()
    app = app_on(GivenFeed(live(given)), settings, client)
    app.now = lambda: NOW
    if tmp_path is not None:
        app.store = Store(tmp_path)
    async with app.run_test(size=size) as pilot:
        await until(lambda: app.snapshot is not None)
        await pilot.press("2", "l")
        await on_screen(app, LogsScreen)
        it = Opened(app, pilot, client, given)
        if write:
            await until(lambda: len(it.texts) == 4)
        yield it


async def test_all_replicas_stand_in_the_order_of_time_and_new_lines_are_followed():
    async with opened() as it:
        await it.has("loading", "POST /v1/chat 503", "GET /health 200", "GET /health 503")
        await it.says("14:10:01 decode 2  POST /v1/chat 503")
        assert "3 replicas   " in screen_text(it.app)
        assert "last 15 minutes   4 lines" in screen_text(it.app)
        assert it.log.is_following
        await until(lambda: summary(it.app) == "2026-03-14 14:10:03.000 UTC  prefill 0 in gpu")
        it.client.write("later", at=700, by="j-chat-1")
        await it.read()
        await until(lambda: it.log.entry.text == "later")
        await it.press("up")
        await it.says("f follows")
        it.client.write("last", at=800, by="j-chat-1")
        it.client.write("between", at=650, by="j-chat-2")
        await it.read()
        await until(lambda: it.texts[-3:] == ["between", "later", "last"])
        assert it.log.entry.text == "GET /health 503"
        await it.press("f")
        await until(lambda: it.log.entry.text == "last")
        await it.says("following")
        await it.press("escape")
        await until(lambda: not isinstance(it.app.screen, LogsScreen))


async def test_lines_are_filtered_and_marked_and_those_of_one_replica_or_group_shown_alone():
    async with opened() as it:
        await it.press("slash", *"503", "enter")
        await it.has("POST /v1/chat 503", "GET /health 503")
        await it.says("2 of 4 lines match 503")
        await it.press("escape")
        await it.says("4 lines ")
        await it.press("slash", *"!health", "enter")
        await it.has("loading", "POST /v1/chat 503")
        await it.press("escape", "slash", *"/get.*[23]00/", "enter")
        await it.has("GET /health 200")
        await it.press("escape", "slash", *"/(/", "enter")
        await it.says("/(/ is not a regular expression")
        await until(lambda: len(it.texts) == 4)
        await it.press("escape")
        await until(lambda: "expression" not in screen_text(it.app))
        assert isinstance(it.app.screen, LogsScreen)
        await it.press("n")
        await it.tells("what to look for first")
        await it.press("m", "slash", *"503", "enter")
        await it.says("4 lines, 503 is marked")
        await it.press("N")
        await until(lambda: it.log.entry.text == "POST /v1/chat 503")
        await it.press("n")
        await until(lambda: it.log.entry.text == "GET /health 503")
        await it.press("n")
        await it.tells("No line after this one has 503")
        await it.press("m")
        await it.has("POST /v1/chat 503", "GET /health 503")
        await it.press("escape", "up", "f")
        await until(lambda: len(it.texts) == 4)
        await it.press("r")
        await it.has("loading", "GET /health 503")
        await it.says("only prefill 0")
        await it.press("r")
        await until(lambda: len(it.texts) == 4)
        await it.press("colon", *"only decode", "enter")
        await it.has("POST /v1/chat 503", "GET /health 200")
        await it.press("colon", *"only 1", "enter")
        await it.has("GET /health 200")
        await it.press("colon", *"only 9", "enter")
        await it.tells("There is no replica and no group 9 here.")


async def test_a_line_is_copied_all_that_is_shown_is_saved_and_failures_are_said(tmp_path):
    async with opened(tmp_path=tmp_path) as it:
        await it.press("y")
        await until(lambda: it.app.clipboard == "GET /health 503")
        await it.press("Y")
        await until(
            lambda: it.app.clipboard == "2026-03-14T14:10:03.000Z\tprefill 0\tGET /health 503"
        )
        await it.press("slash", *"503", "enter", "ctrl+s")
        path = await until(lambda: next(iter((tmp_path / "logs").glob("chat-*.log")), None))
        await it.tells("2 lines are in")
        assert path.read_text().splitlines() == [
            "2026-03-14T14:10:01.000Z\tdecode 2\tPOST /v1/chat 503",
            "2026-03-14T14:10:03.000Z\tprefill 0\tGET /health 503",
        ]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        (tmp_path / "logs").rename(tmp_path / "were-logs")
        (tmp_path / "logs").write_text("in the way")
        await it.press("ctrl+s")
        await it.tells("Nothing was saved")
        await it.press("escape")
        it.client.failure = errors.ForbiddenError("This user may not read logs.", "Ask for it.")
        await it.read()
        await until(lambda: "may not read logs" in summary(it.app))
        await it.says("3 of 3 can't be read")
        assert len(it.texts) == 4


async def test_names_take_the_colours_of_another_theme_though_nothing_is_read():
    async with opened() as it:
        it.app.do_pause("")
        before = it.app.screen._margin.colours
        it.app.theme = "textual-light"

        def fitting():
            return colours(it.app.theme_variables, it.app.current_theme)

        await until(lambda: it.app.screen._margin.colours == fitting() != before, what="colours")


async def test_it_goes_further_back_when_asked():
    async with opened(write=False) as it:
        it.client.write("first of all", at=-3000, by="j-chat-0")
        it.client.write("old", at=0, by="j-chat-0")
        await it.says("No logs in the last 15 minutes. Press s to look further back.")
        await it.press("s")
        await it.has("old")
        await it.says("last hour")
        await it.press("s")
        await it.has("first of all", "old")
        await it.press("s")
        await it.says("No logs in the last 1 minute.")
        await it.press("colon", *"since start", "enter")
        await it.has("first of all", "old")
        await it.press("colon", *"since never", "enter")
        await it.tells("Use one of: 1m, 5m, 15m, 1h, start.")


async def test_the_end_of_a_long_line_is_reached_wrapped_and_sideways():
    async with opened() as it:
        it.client.write(LONG, at=700, by="j-chat-1")
        await it.read()
        await it.says("the-end")
        await it.press("w")
        await until(lambda: "the-end" not in screen_text(it.app))
        await it.press(*["right"] * 9)
        await it.says("the-end")
        await it.press("w")
        await it.says("14:11:40 decode 1  engine.py:812]")
        await it.press("t")
        await it.says("▸ decode 1  engine.py:812]")
        it.client.write("long " * 397 + "the-finish", at=800, by="j-chat-1")
        await it.read()
        await it.says("the-finish")
        await it.press(*["up"] * 30)
        await it.says("decode 1  long")
        await it.press("G")
        await it.says("the-finish")
        await it.press("g")
        await until(lambda: it.log.entry.text == "loading")
        await it.press("f")
        for number in range(1500):
            it.client.write(f"n{number}", at=900 + number / 1000, by="j-chat-0")
        await it.read()
        await until(lambda: it.texts[-1] == "n1499")
        await it.press("slash", *"/^n500$/", "enter")
        await it.says("… lines are missing here")
        await it.says("1 of 1,006 lines match /^n500$/")


async def test_replicas_that_come_are_followed_and_those_that_go_stay():
    async with opened() as it:
        it.client.write("hello", at=900, by="j-chat-3")
        fewer = shot("prefill", "decode", "decode", "decode")
        left = {key: each for key, each in fewer.replicas.items() if key.replica_num != 0}
        chat = replace(fewer.services["s-chat"], replica_keys=tuple(left))
        await brought(it.app, it.pilot, replace(fewer, replicas=left, services={"s-chat": chat}))
        await it.read()
        await until(lambda: it.texts[-1] == "hello")
        assert it.texts[0] == "loading"
        await brought(it.app, it.pilot, replace(it.shot, services={}, replicas={}))
        await it.says("hello")


async def test_a_service_and_a_problem_lead_to_the_logs():
    app = app_on(GivenFeed(live(shot(unreachable=True))))
    app.now = lambda: NOW
    async with app.run_test(size=(120, 30)) as pilot:
        await until(lambda: app.snapshot is not None)
        await pilot.press("2", "enter")
        await on_screen(app, ServiceScreen)
        await pilot.press("l")
        await on_screen(app, LogsScreen)
        await pilot.press("escape")
        await on_screen(app, ServiceScreen)
        await pilot.press("3")
        await on_screen(app, ProblemsScreen)
        await until(lambda: table(app).cursor_key)
        await pilot.press("l")
        await on_screen(app, LogsScreen)
