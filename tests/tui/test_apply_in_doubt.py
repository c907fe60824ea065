"""A change of which it is not known what became: said, read on, ended with its own exit code."""

from __future__ import annotations

import argparse
from pathlib import Path

import httpx
import pytest
from textual.widgets import Static

from dstack_api_client.edits.base.base import Target, read_service
from dstack_api_client.edits.base.outcome import UnknownOutcomeError
from dstack_api_client.edits.perform import performing
from dstack_api_client.edits.plan import applying
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.edits.store.kept import Sent
from dstack_api_client.errors import ApiError, UnansweredError
from dstack_api_client.feed.update import ConnectionState
from dstack_fleets_tui.cli import common as cli_common
from dstack_fleets_tui.cli import edits as cli_edits
from dstack_fleets_tui.screens.edit.applying import ApplyScreen
from dstack_fleets_tui.screens.edit.plan import PlanScreen
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_fleets_tui.settings.settings import load
from dstack_widgets.screen.status_header import KeysFooter
from tests.builders.apps import CONNECTION, GivenFeed, app_on, live
from tests.builders.audit_log import ends
from tests.builders.changing_dashboard import applied_before, dashboard, shown
from tests.builders.changing_server import ChangingServer
from tests.builders.snapshots import snapshot
from tests.screens import summary
from tests.waiting import until


def _text(screen: ApplyScreen) -> str:
    return str(screen.query_one("#text", Static).content)


async def test_the_dashboard_reads_on_until_it_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "UNREADABLE_LIMIT", 0.0)
    monkeypatch.setattr(performing, "_READ_AGAIN", 0.05)
    server, store = ChangingServer(), Store(tmp_path)
    await applied_before(server, store)

    def breaks(request: httpx.Request) -> httpx.Response:
        server.faults["runs/get"] = lambda request: httpx.Response(401, text="no")
        raise httpx.ReadError("it broke", request=request)

    async with dashboard(server, tmp_path) as (app, pilot):
        await pilot.press("u")
        await shown(app, PlanScreen)
        server.faults["runs/apply"] = breaks
        await pilot.press("right", "enter")
        await shown(app, ApplyScreen)
        screen = app.screen
        await until(lambda: "whether it was made is not known" in _text(screen), what="the doubt")
        assert "Polling goes on until that is known." in _text(screen)
        assert not app.changing.under_way, "it can be left"
        assert "it is checked at the next start" in summary(app)
        server.faults.clear()
        await until(lambda: "was applied" in _text(screen), what="what became of it")
        await pilot.press("escape")
        await shown(app, ServiceScreen)
    assert len(server.writes) == 1
    unknown, known = (end["result"] for end in ends(store.audit_path))
    assert unknown.startswith("not known: ")
    assert known.startswith("The change of chat was applied as deployment 2")


async def test_what_was_not_sent_is_said_to_be_so(tmp_path: Path) -> None:
    server, store = ChangingServer(), Store(tmp_path)
    await applied_before(server, store)
    async with dashboard(server, tmp_path) as (app, pilot):
        await pilot.press("u")
        await shown(app, PlanScreen)
        server.faults["runs/get"] = lambda request: httpx.Response(500, text="no")
        await pilot.press("right", "enter")
        await shown(app, ApplyScreen)
        await until(lambda: "Nothing was sent." in _text(app.screen), what="that nothing was")
        assert summary(app) == "Press p to plan it again, Esc to go back."
        assert "p plan" in str(app.screen.query_one(KeysFooter).render())
    assert not server.writes
    (end,) = ends(store.audit_path)
    assert end["result"].startswith("not applied: ")


def _no_server(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


async def test_a_lost_connection_is_said_once(tmp_path: Path) -> None:
    server, store = ChangingServer(), Store(tmp_path)
    await applied_before(server, store)
    async with dashboard(server, tmp_path) as (app, pilot):
        await pilot.press("u")
        await shown(app, PlanScreen)
        server.faults |= dict.fromkeys(("runs/get", "runs/list", "events/list"), _no_server)
        await pilot.press("right", "enter")
        await shown(app, ApplyScreen)
        await until(lambda: app.health.state is ConnectionState.STALE, what="the loss")
        await until(lambda: app.health.message in _text(app.screen), what="what it did here")
        await until(lambda: "Press p" in summary(app), what="what to do instead of it again")
        server.faults.clear()
        await until(lambda: app.health.state is ConnectionState.LIVE, what="the server")
        await pilot.press("p")
        await shown(app, PlanScreen)
        await pilot.press("right", "enter")
        await shown(app, ApplyScreen)
        await until(lambda: "was applied" in _text(app.screen), what="the change")
        server.faults |= dict.fromkeys(("runs/get", "runs/list", "events/list"), _no_server)
        await until(lambda: app.health.state is ConnectionState.STALE, what="the loss once more")
        lost = app.failure
        await until(lambda: lost in summary(app), what="why it stands still")
        await until(lambda: lost.split(":")[0] not in _text(app.screen), what="it once")


async def test_what_was_open_at_the_last_start_is_said(tmp_path: Path) -> None:
    server, store = ChangingServer(), Store(tmp_path)
    await applied_before(server, store)
    async with server.client() as client:
        target = (await read_service(client, "main", "chat")).target
    kept = store.applied(target)
    assert kept is not None
    here = Target(CONNECTION.url, "main", "service", "chat")
    store.keep_sent(here, Sent("1f", kept.at, 0, "ada", "apply", kept))
    async with dashboard(server, tmp_path) as (app, _):
        await until(lambda: app.said.log, what="the notice")
        assert any("its end was not seen: it was applied" in n.message for n in app.said.log)


@pytest.mark.parametrize(
    "error", [UnknownOutcomeError("It is not known.", "Wait."), UnansweredError("It broke.", "")]
)
def test_commands_end_with_a_code_of_their_own_and_say_how_to_look(
    error: ApiError, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_common, "connection_of", lambda args, settings: CONNECTION)

    def fails(*_: object) -> int:
        raise error

    code = cli_edits.edit(argparse.Namespace(service="chat"), fails)
    assert code == 6
    assert "`dstack-fleets-tui get services chat -o json`" in capsys.readouterr().err


async def test_a_slip_in_a_guard_is_said_each_time_something_is_to_be_changed(
    tmp_path: Path,
) -> None:
    file = tmp_path / "settings.yml"
    file.write_text("read-only: true\n")
    app = app_on(GivenFeed(live(snapshot())), load({}, {}, file))
    async with app.run_test(size=(120, 30)) as pilot:
        await until(lambda: app.snapshot is not None, what="data")
        app.said.log.clear()
        await pilot.press("e")
        await until(lambda: app.said.log, what="why not")
        (notice,) = app.said.log
        assert notice.message.startswith("There is no setting read-only")
        assert notice.message.endswith("Until then nothing can be changed.")
