"""Keys in any order, faster than screens change: each change is one that was confirmed, sent once.

The seed is printed; `DSTACK_FLEETS_TESTS_MANY=1` tries more, `DSTACK_FLEETS_TESTS_SEED` the
same again.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from textual.events import Resize
from textual.geometry import Size

from dstack_api_client import fault_log
from dstack_api_client.edits.store.keeping import Store
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.screens.edit.applying import ApplyScreen
from tests.builders.changing_dashboard import applied_before, dashboard, settled, storm
from tests.builders.changing_server import ChangingServer
from tests.builders.generation import PARTS, seeds
from tests.waiting import until

#: Keys of lists, of editors, of plans and of boxes. None of them leaves the dashboard.
_MOVES = ("up", "down", "left", "right", "tab", "shift+tab", "enter", "enter", "escape", "escape")
_OPENS = ("1", "2", "3", "4", "e", "e", "E", "u", "u", "b", "D", "N", "p", "p", "question_mark")
_TYPES = ("5", "6", "x", "space", "ctrl+s", "delete", "backspace", "slash", "colon", "ctrl+p")
_SIZES = ((120, 32), (80, 24), (40, 10), (20, 3))
_STORMS = 12
#: What changes something leads from these to a plan and its answer.
_CHANGES = (
    ("u", "right", "enter", "enter"),
    ("e", "down", "5", "enter", "p", "right", "enter"),
    ("p", "right", "enter", "enter", "enter"),
    ("b", "right", "enter"),
)


def _audit(store: Store) -> list[dict[str, Any]]:
    if not store.audit_path.exists():
        return []
    return [json.loads(line) for line in store.audit_path.read_text().splitlines()]


def _no_quit(app: FleetsApp) -> None:
    """Keeps the palette and the command line from ending it."""
    app.do_quit = lambda argument: None  # type: ignore[method-assign]


async def _course(seed: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    server, store = ChangingServer(), Store(folder)
    begun: list[ApplyScreen] = []
    begin = ApplyScreen.on_mount

    def noted(screen: ApplyScreen) -> None:
        begun.append(screen)
        begin(screen)

    monkeypatch.setattr(ApplyScreen, "on_mount", noted)
    monkeypatch.chdir(folder)  # where a plan is saved
    await applied_before(server, store)
    async with dashboard(server, folder) as (app, pilot):
        _no_quit(app)
        for _ in range(_STORMS):
            if rng.random() < 0.4:
                keys = list(rng.choice(_CHANGES))
            else:
                kinds = rng.choices((_MOVES, _OPENS, _TYPES), (4, 3, 2), k=rng.randint(2, 9))
                keys = [rng.choice(kind) for kind in kinds]
            if rng.random() < 0.3:
                keys = [key for key in keys for _ in range(2)]
            storm(app, *keys)
            for size in rng.choices(_SIZES, k=rng.choice((0, 0, 3))):
                app.post_message(Resize(Size(*size), Size(*size)))
            for _ in range(rng.choice((0, 1, 2))):
                await settled(app, pilot)
        app.post_message(Resize(Size(120, 32), Size(120, 32)))
        await settled(app, pilot)
        await until(lambda: not app.changing.under_way, what="the changes")
        assert app.is_running
        lines = _audit(store)
        sent = [line for line in lines if line["result"] == "sent"]
        assert len(sent) == len(server.writes), (sent, server.writes)
        assert len(server.writes) <= len(begun)
        open_ones = {line["sent"] for line in sent}
        ended = [line for line in lines if line["result"] != "sent" and line["sent"] in open_ones]
        assert len(ended) == len(sent), lines


@pytest.mark.generated
@pytest.mark.parametrize("part", PARTS)
async def test_a_storm_of_keys_sends_what_was_confirmed_and_once(
    part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.delenv("EDITOR", raising=False)
    for number, seed in enumerate(seeds(4)[part :: len(PARTS)]):
        sys.stdout.write(f"DSTACK_FLEETS_TESTS_SEED={seed}\n")
        folder = tmp_path / str(number)
        folder.mkdir()
        with monkeypatch.context() as context:
            context.setenv("XDG_STATE_HOME", str(folder))
            await _course(seed, folder, context)
            assert not fault_log.path().exists(), fault_log.path().read_text()
