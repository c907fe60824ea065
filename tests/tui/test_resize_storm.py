"""A terminal whose size changes all the time while polls come: in the end the screen is whole."""

from __future__ import annotations

import fcntl
import os
import random
import re
import struct
import sys
import termios
from pathlib import Path

import pytest

from tests.builders import answers
from tests.builders.generation import SEED
from tests.builders.terminal_driver import Grid
from tests.servers.dashboard_process import Dashboard, dashboard
from tests.waiting import until

pytestmark = pytest.mark.slow

_SIZES = 200
_LAST = (110, 28)
#: What goes on by itself: ages and the clock.
_TIMES = re.compile(r"\d+ (?:s|min)\b|\d\d:\d\d:\d\d|\b\d+[smhd]\b")


def _resize(at: Dashboard, width: int, height: int) -> None:
    size = struct.pack("HHHH", height, width, 0, 0)
    fcntl.ioctl(at.terminal.master, termios.TIOCSWINSZ, size)


def _screen(written: bytes) -> list[str]:
    """What stands on a screen of the last size once all this was written to it."""
    grid = Grid(*_LAST)
    grid.write(written.decode(errors="replace").replace("\r", ""))
    return [_TIMES.sub("", line).rstrip() for line in grid.lines]


async def _quiet(at: Dashboard) -> bytes:
    """What was written until nothing but the clock is painted any more."""
    seen: list[list[str]] = []

    def same() -> bool:
        seen.append(_screen(at.terminal.written))
        return len(seen) > 4 and all(each == seen[-1] for each in seen[-4:])

    await until(same, every=0.5, limit=20, what="a screen at rest")
    return at.terminal.written


def _all_there(at: Dashboard) -> bool:
    """Whether the screen has all services: a poll may bring some of them only."""
    shown = {word for line in _screen(at.terminal.written) for word in line.split()}
    return {f"svc-{number}" for number in range(0, _SIZES, 20)} <= shown


async def test_the_screen_is_whole_after_a_storm_of_sizes(tmp_path: Path) -> None:
    sys.stdout.write(f"DSTACK_FLEETS_TESTS_SEED={SEED}\n")
    rng = random.Random(SEED)
    async with dashboard(tmp_path) as at:
        server = at.server
        await at.press("2", "chat")
        for number in range(_SIZES):
            _resize(at, rng.choice((1, 20, 40, 80, 140, 300)), rng.choice((1, 3, 10, 24, 60)))
            if number % 20 == 0:
                run = answers.run(100 + number, name=f"svc-{number}")
                server.runs.append(run)
                server.now += 1.0  # events of one moment are told apart by nothing
                server.happens("Run submitted", ("run", run["id"], f"svc-{number}"))
            asked = sum(server.asked.values())
            if number % 40 == 0:
                await until(lambda asked=asked: sum(server.asked.values()) > asked, what="a poll")
        _resize(at, *_LAST)
        await until(lambda: _all_there(at), limit=20, what="all services")
        after = _screen(await _quiet(at))

        _resize(at, _LAST[0] - 1, _LAST[1] - 1)
        await _quiet(at)
        at.terminal.forget()
        _resize(at, *_LAST)
        assert after == _screen(await _quiet(at)), "as when it is painted anew"
        assert any("svc-180" in line for line in after)
        at.terminal.press("q")
        assert await at.ended() == os.EX_OK
        assert b"Traceback" not in at.terminal.written
        assert not (at.state / "faults.log").exists()
