"""A disk that is full, or a state folder that nobody may write: said, and nothing is stopped."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.widgets import Static

from dstack_api_client.edits.store import files, keeping
from dstack_api_client.edits.store.keeping import Store
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.screens.edit.applying import ApplyScreen
from dstack_fleets_tui.screens.edit.plan import PlanScreen
from dstack_fleets_tui.screens.edit.service import EditScreen
from dstack_fleets_tui.screens.edit.text import TextScreen
from tests.builders.changing_dashboard import dashboard, shown
from tests.builders.changing_server import ChangingServer
from tests.builders.small_disk import fill, small_disk
from tests.waiting import until

#: A disk that is full, a quota that is used up, a disk to be read only, and one that is broken.
REFUSALS = ["ENOSPC", "EDQUOT", "EROFS", "EIO"]


#: A disk that really is full, where a test may mount one.
FULL = "full disk"


#: One that is full stands for all in `make test`: the others differ in what the system says.
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in REFUSALS if name != "ENOSPC"]


@pytest.fixture(params=["ENOSPC", FULL, *SLOW])
def refused(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[str]:
    """No file is written any more; gives what the system says of it."""
    if request.param == FULL:
        with small_disk(tmp_path) as ballast:
            fill(ballast)
            yield os.strerror(errno.ENOSPC)
        return
    number = getattr(errno, request.param)

    def refuse(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    for module in (files, keeping):
        monkeypatch.setattr(module, "replace_whole", refuse, raising=False)
        monkeypatch.setattr(module, "append_line", refuse, raising=False)
    yield os.strerror(number)


def _said(app: FleetsApp) -> str:
    notices = " ".join(notice.message for notice in app.said.log)
    texts = " ".join(str(each.content) for each in app.screen.query(Static))
    return f"{notices} {texts}"


async def test_an_edit_goes_on_and_says_what_is_not_kept(refused: str, tmp_path: Path) -> None:
    server = ChangingServer()
    async with dashboard(server, tmp_path) as (app, pilot):
        await pilot.press("e")
        await until(lambda: isinstance(app.front, EditScreen) and app.front.edit is not None)
        await pilot.press("down", "5", "enter")
        await until(lambda: refused in _said(app), what="that the draft is not kept")
        await pilot.press("p")
        await shown(app, PlanScreen)
        await pilot.press("right", "enter")
        await shown(app, ApplyScreen)
        await until(lambda: server.writes, what="the change")
        await until(lambda: "was applied" in _said(app), what="what became of it")
        assert refused in _said(app), "nor is the way back"
        assert server.writes == ["/api/project/main/runs/apply"]
        await pilot.press("escape")
        assert app.is_running


async def test_an_end_says_that_a_text_is_not_kept(refused: str, tmp_path: Path) -> None:
    async with dashboard(ChangingServer(), tmp_path) as (app, pilot):
        await pilot.press("e")
        await until(lambda: isinstance(app.front, EditScreen) and app.front.edit is not None)
        await pilot.press("E")
        await shown(app, TextScreen)
        await pilot.press(*"#mine")
        app.end(15)
        await until(lambda: not app.is_running, what="the end")
    assert refused in " ".join(app.last_words)


@pytest.mark.parametrize("kind", ["file", "link to nowhere"])
async def test_a_folder_that_is_none_is_said(kind: str, tmp_path: Path) -> None:
    """As root may write everywhere, what else keeps a folder from being one."""
    folder = tmp_path / "state"
    if kind == "file":
        folder.write_text("")
    else:
        folder.symlink_to(tmp_path / "gone" / "further")
    async with dashboard(ChangingServer(), folder) as (app, pilot):
        await pilot.press("e")
        await until(lambda: isinstance(app.front, EditScreen) and app.front.edit is not None)
        await pilot.press("down", "5", "enter")
        await until(lambda: "can't be written" in _said(app), what="that the draft is not kept")
        assert Store(folder).open_changes("http://server", "main") == []
