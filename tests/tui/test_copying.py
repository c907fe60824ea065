"""Copying by keys: to the terminal's clipboard, else into a file."""

from __future__ import annotations

import asyncio
import base64
import re
from pathlib import Path

import pytest

from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.terminal.terminal import clipboard_sequence
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.snapshots import snapshot
from tests.screens import filled
from tests.waiting import until

#: What stands for the clipboard in the string of OSC 52.
_BEGIN, _END = "\x1b]52;c;", "\x07"


def of(sequence: str | None) -> str:
    """The text that a terminal would take."""
    assert sequence is not None
    assert sequence.startswith(_BEGIN)
    assert sequence.endswith(_END)
    return base64.b64decode(sequence[len(_BEGIN) : -len(_END)]).decode()


class TestSequence:
    """What is written to a terminal."""

    def test_bare(self) -> None:
        assert of(clipboard_sequence("gpu-spot ✓", {"TERM": "xterm-256color"})) == "gpu-spot ✓"

    @pytest.mark.parametrize("term", ["screen", "screen.xterm-256color", "tmux-256color"])
    def test_through_one_in_the_other_as_the_inner_takes_it(self, term: str) -> None:
        """In GNU screen within tmux, what is wrapped for tmux would be written on the lines."""
        said = clipboard_sequence("a", {"TERM": term, "TMUX": "/tmp/t,1,0", "STY": "1.pts-0"})
        assert said is not None
        assert said.startswith("\x1bPtmux;") is term.startswith("tmux")

    def test_through_tmux(self) -> None:
        said = clipboard_sequence("a", {"TERM": "tmux-256color", "TMUX": "/tmp/tmux-0/default,1,0"})
        assert said is not None
        wrapped = re.fullmatch("\x1bPtmux;(.*)\x1b\\\\", said, re.DOTALL)
        assert wrapped is not None
        assert of(wrapped[1].replace("\x1b\x1b", "\x1b")) == "a"

    def test_through_screen_in_strings_that_it_takes(self) -> None:
        text = "0123456789" * 200
        said = clipboard_sequence(text, {"TERM": "screen-256color", "STY": "1.pts-0.host"})
        assert said is not None
        parts = re.findall("\x1bP(.*?)\x1b\\\\", said, re.DOTALL)
        assert len(parts) > 1
        assert max(map(len, parts)) <= 768
        assert of("".join(parts)) == text

    @pytest.mark.parametrize("terminal", ["linux", "dumb", ""])
    def test_where_there_is_no_clipboard(self, terminal: str) -> None:
        assert clipboard_sequence("a", {"TERM": terminal}) is None

    def test_more_than_a_terminal_takes(self) -> None:
        assert clipboard_sequence("a" * 74_995, {"TERM": "xterm"}) is None


async def _copied(app: FleetsApp, key: str) -> str:
    async with app.run_test() as pilot:
        await filled(app)
        await pilot.press(key)
        await until(lambda: bool(app.clipboard), what="what was copied")
        return app.clipboard


@pytest.mark.parametrize(("key", "said"), [("y", "gpu"), ("Y", "gpu\t✓ OK\tcloud\t")])
async def test_the_row_under_the_cursor(
    key: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    assert (await _copied(app_on(GivenFeed(live(snapshot()))), key)).startswith(said)


def test_without_a_clipboard_it_is_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "linux")
    monkeypatch.chdir(tmp_path)
    asyncio.run(_copied(app_on(GivenFeed(live(snapshot()))), "y"))
    (file,) = tmp_path.iterdir()
    assert file.read_text() == "gpu"
