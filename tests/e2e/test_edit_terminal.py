"""An edit in a terminal of its own, with the user's editor, and a draft that outlives both."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from dstack_simulator import Simulator
from tests.e2e.editing import service
from tests.e2e.test_terminal import Terminal, connecting, terminal
from tests.waiting import until

pytestmark = pytest.mark.e2e

RIGHT = "\x1b[C"
LANES = [{"name": "desk-spot", "priority": 3}]


@pytest_asyncio.fixture(scope="module")
async def shell(edit_addon: Simulator) -> AsyncIterator[Simulator]:
    """The server, with a service that runs in one lane."""
    await edit_addon.apply(service("shell", "desk", fleets=LANES, replicas=1))

    async def runs() -> bool:
        run = await edit_addon.run("shell")
        return run["jobs"][0]["job_submissions"][-1]["status"] == "running"

    await until(runs, limit=90, what="the service to run")
    yield edit_addon
    await edit_addon.stop_run("shell")


async def editor(program: Terminal) -> None:
    """Opens the editor of the service from the list."""
    await until(lambda: program.shows("Problems"), limit=30, what="the dashboard")
    program.press("2")
    await until(lambda: program.shows("shell"), limit=30, what="the services")
    program.press("/shell\r")
    await until(lambda: program.shows("/shell  1 of"), limit=20, what="the filter")
    program.press("e")
    await until(lambda: program.shows("Edit shell"), limit=20, what="the editor")
    await until(lambda: program.shows("nothing changed yet"), limit=20, what="the fields")


async def priority(sim: Simulator) -> int:
    (lane,) = (await sim.run("shell"))["run_spec"]["configuration"]["fleets"]
    return lane["priority"]


def user(sim: Simulator, state: Path, **more: str) -> dict[str, str]:
    return {**connecting(sim), "XDG_STATE_HOME": str(state), "VISUAL": "", "EDITOR": "", **more}


async def test_an_edit_from_the_keys_to_its_end(shell: Simulator, tmp_path: Path):
    async with terminal(**user(shell, tmp_path)) as program:
        await editor(program)
        program.press("7\rp")
        await until(lambda: program.shows("Plan for shell in"), limit=20, what="the plan")
        assert await priority(shell) == 3
        program.press(f"{RIGHT}\r")
        await until(lambda: program.shows("was applied as deployment"), limit=30, what="the answer")
        await until(lambda: program.shows("done"), limit=60, what="the end")
    assert await priority(shell) == 7


async def test_a_draft_survives_a_closed_terminal(shell: Simulator, tmp_path: Path):
    async with terminal(**user(shell, tmp_path)) as program:
        await editor(program)
        program.press("55\r")
        await until(lambda: program.shows("draft kept"), limit=20, what="the draft")
        program.hang_up()
        await until(lambda: program.process.poll() is not None, limit=20, what="the end")
    async with terminal(**user(shell, tmp_path)) as program:
        await editor(program)
        await until(lambda: program.shows("A draft of shell is kept"), limit=20, what="the offer")
        program.press("\r")
        await until(lambda: program.shows("55"), limit=20, what="what was typed")


async def test_the_user_s_own_editor_edits_the_text(shell: Simulator, tmp_path: Path):
    script = tmp_path / "editor"
    script.write_text("#!/bin/sh\nsed -i 's/^\\( *\\)priority: .*/\\1priority: 88/' \"$1\"\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    async with terminal(**user(shell, tmp_path / "state", EDITOR=str(script))) as program:
        await editor(program)
        program.press("E")
        await until(lambda: program.shows("88"), limit=20, what="the edited lane")
        await until(lambda: program.shows("was priority"), limit=20, what="what it was")
        assert await priority(shell) != 88, "nothing is sent before a plan"
