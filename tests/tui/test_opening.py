"""The first frame: what it needs and shows, and what is typed before the first list is there."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from dstack_fleets_tui.app import opening
from dstack_fleets_tui.app.opening import OpeningApp, OpeningScreen
from dstack_fleets_tui.screens.fleets import FleetsScreen
from dstack_fleets_tui.screens.services import ServicesScreen
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.snapshots import snapshot
from tests.painting import all_painted
from tests.waiting import until

#: Of the client, what the first frame may need.
_OF_CLIENT = {
    *("clock", "errors", "fault_log", "private_folder", "text"),
    *("connect", "connect.connection"),
    *("edits", "edits.errors", "edits.store", "edits.store.files"),
    *("feed", "feed.update"),
}
_HEAVY = {"anyio", "dstack_placement", "httpcore", "httpx", "pydantic", "tree_sitter", "yaml"}
_OF_TABLES = {
    "dstack_widgets.table.live_table",
    "dstack_widgets.panels.charts",
    "dstack_widgets.inputs.edit_grid",
}
#: Modules of the dashboard that the first frame needs at most: each takes about a millisecond.
_MOST = 50


def test_the_first_frame_needs_little():
    code = "import sys, dstack_fleets_tui.app.run; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    client = {name for name in loaded if name.startswith("dstack_api_client.")}
    assert client <= {f"dstack_api_client.{name}" for name in _OF_CLIENT}
    assert not loaded & (_HEAVY | _OF_TABLES)
    ours = [name for name in loaded if name.startswith(("dstack_fleets_tui", "dstack_widgets"))]
    assert len(ours) <= _MOST, sorted(ours)


@pytest.mark.parametrize("key", ["", "2"])
async def test_what_is_typed_before_the_first_list_waits_for_it(
    key: str, monkeypatch: pytest.MonkeyPatch
):
    go = threading.Event()
    monkeypatch.setattr(opening, "_load", lambda _: go.wait(30))
    app = app_on(GivenFeed(live(snapshot())), kind=OpeningApp)
    async with app.run_test() as pilot:
        await all_painted(app, pilot)
        assert isinstance(app.screen, OpeningScreen)
        assert "Reading the fleets of main." in str(app.screen.query_one("#reading").render())
        if key:
            app.simulate_key(key)
        await pilot.pause()
        assert isinstance(app.screen, OpeningScreen), "there is nothing yet that a key goes to"
        go.set()
        expected = ServicesScreen if key else FleetsScreen
        await until(lambda: isinstance(app.screen, expected) and app.snapshot is not None)
