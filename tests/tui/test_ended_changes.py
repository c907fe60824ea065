"""Changes of the dashboard: one confirmation is one write, and an end meanwhile loses nothing."""

from __future__ import annotations

import signal
from pathlib import Path

import httpx
import pytest

from dstack_api_client import fault_log
from dstack_api_client.edits.store.keeping import Store
from dstack_fleets_tui.screens.fleets import FleetsScreen
from dstack_fleets_tui.screens.parts.asking import AskScreen
from tests.builders.audit_log import lines
from tests.builders.changing_dashboard import dashboard, shown, storm
from tests.servers.cordoning_server import CordoningServer
from tests.waiting import until

#: By a key: the answers to its question that are passed, where it is sent, and what is written
#: down once it is done.
_CHANGES = {
    "D": (1, "runs/stop", "The stop of chat is sent."),
    "D twice": (2, "runs/stop", "The abort of chat is sent."),
    "C": (1, "placement/cordon", "Fleet fleet-1 is cordoned"),
    "X": (1, "placement/drain", "Fleet fleet-1 is drained"),
    "U": (1, "placement/uncordon", "Fleet fleet-1 is in service again."),
}
_QUICK = ("D", "X")


@pytest.mark.parametrize(
    "keys",
    [pytest.param(each, marks=[] if each in _QUICK else [pytest.mark.slow]) for each in _CHANGES],
)
async def test_enter_pressed_quickly_sends_once_and_the_end_of_it_is_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: str
) -> None:
    """The dashboard is asked to end while the server is slow, whose answer then gets lost."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    server, store = CordoningServer(), Store(tmp_path)
    passed, path, done = _CHANGES[keys]
    async with dashboard(server, tmp_path) as (app, pilot):
        if keys[0] != "D":
            await pilot.press("1")
            await shown(app, FleetsScreen)
            await until(lambda: app.screen.table.row_count, what="the fleet")
        held = server.hold(path)
        server.faults[path] = lambda request: httpx.Response(502, html="<html>no</html>")
        await pilot.press(keys[0])
        await shown(app, AskScreen)
        storm(app, *["right"] * passed, *["enter"] * 5)
        await until(lambda: server.asked[path], what="the request")
        app.end(signal.SIGTERM)
        server.held.clear()
        held.set()
        await until(lambda: len(lines(store.audit_path)) > 1, what="what became of it")
    sent, end = lines(store.audit_path)
    assert sent["result"] == "sent"
    assert end["result"].startswith(done)
    assert server.asked[path] == 1
    assert not fault_log.path().exists()
