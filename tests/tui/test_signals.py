"""Signals and lost terminals at each step of an edit: it ends in order, or goes on."""

from __future__ import annotations

import itertools
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.servers.dashboard_process import STEPS, TOKEN, TYPED, Dashboard, dashboard
from tests.waiting import until

#: Steps at which what was typed is nowhere but in the dashboard, and at which it was sent.
TYPING = ("form", "text", "editor", "plan")
SENT = ("sent", "following")
GONE = "terminal gone"
ENDS = ["SIGTERM", "SIGHUP", "SIGINT", GONE]
#: What the driver of a terminal writes last: back from the other screen, with the cursor.
_BACK = b"\x1b[?1049l"
_TWO = [("form", "SIGTERM"), ("sent", "SIGHUP")]
_ALL = [(step, end) for step in STEPS for end in ENDS]


async def _at(at: Dashboard, step: str) -> None:
    if step != "editor":
        at.home.joinpath("editor").unlink(missing_ok=True)
    await STEPS[step](at)


def _environment(step: str) -> dict[str, str]:
    return {} if step == "editor" else {"EDITOR": ""}


async def _end(at: Dashboard, step: str, end: str) -> int:
    """Ends it so; lets the server answer what it was sent."""
    if end == GONE:
        at.terminal.hang_up()
    else:
        at.terminal.process.send_signal(getattr(signal, end))
    if step == "sent":
        # One that does not wait for the answer ends within so many looks.
        looks, process = itertools.count(), at.terminal.process
        await until(lambda: process.poll() is not None or next(looks) >= 50)
        at.held.set()
    if end == GONE:
        process = at.terminal.process
        await until(lambda: process.poll() is not None, limit=25, what="the end")
        return int(process.returncode)
    return await at.ended()


def _audit(at: Dashboard) -> list[dict[str, Any]]:
    path = at.state / "audit.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _nothing_is_lost(at: Dashboard, step: str) -> None:
    kept = at.kept
    assert TOKEN not in kept
    assert "Traceback" not in at.terminal.written.decode(errors="replace")
    assert not list((at.running).iterdir()), "nothing is left of an editor"
    assert not (at.state / "faults.log").exists(), kept
    if step in TYPING:
        assert ('"new":47' if step == "editor" else TYPED) in kept, "what was typed is kept"
    assert len(at.server.writes) == (step in SENT)
    if step in SENT:
        results = [line["result"] for line in _audit(at)]
        assert results[0] == "sent"
        assert " was applied as deployment " in results[-1], results
        assert '"applied"' in kept, "there is a way back"


async def _ends_in_order(home: Path, step: str, end: str) -> None:
    async with dashboard(home, **_environment(step)) as at:
        await _at(at, step)
        code = await _end(at, step, end)
        if end == GONE:
            assert code in (1, 128 + signal.SIGHUP)
        elif (step, end) != ("editor", "SIGINT"):
            assert code == 128 + getattr(signal, end)
        if end != GONE:
            assert at.has_its_modes_back
            assert _BACK in at.terminal.written
        _nothing_is_lost(at, step)


@pytest.mark.parametrize(("step", "end"), _TWO)
async def test_an_end_in_the_middle_of_an_edit_loses_nothing(
    tmp_path: Path, step: str, end: str
) -> None:
    await _ends_in_order(tmp_path, step, end)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "end"), [each for each in _ALL if each not in (*_TWO, ("editor", "SIGINT"))]
)
async def test_an_end_at_any_step_loses_nothing(tmp_path: Path, step: str, end: str) -> None:
    await _ends_in_order(tmp_path, step, end)


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
async def test_it_goes_on_after_a_stop_at_any_step(tmp_path: Path, step: str) -> None:
    """As after Ctrl+Z and `fg`."""
    async with dashboard(tmp_path, **_environment(step)) as at:
        await _at(at, step)
        at.terminal.process.send_signal(signal.SIGTSTP)
        await until(at.terminal.is_stopped, what="the stop")
        at.terminal.forget()
        at.terminal.process.send_signal(signal.SIGCONT)
        await until(lambda: not at.terminal.is_stopped(), what="that it goes on")
        if step != "editor":  # which has the terminal
            await at.shows("chat")
        assert await _end(at, step, "SIGTERM") == 128 + signal.SIGTERM
        assert at.has_its_modes_back
        _nothing_is_lost(at, step)
