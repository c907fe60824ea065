"""An edit in a terminal of its own, with the user's editor, and a draft that outlives both."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from dstack_simulator.handle.handle import Handle
from tests.builders.generation import longest
from tests.servers.bare_terminal import Terminal, connecting, terminal
from tests.servers.edited_services import PROBES, client_of, look, service
from tests.servers.real_terminal import real_terminal, shown
from tests.servers.request_flow import Requests
from tests.waiting import until

pytestmark = pytest.mark.e2e

#: Begins to replace the priorities of lanes, which are further in than the run's.
_OF_LANES = "sed -i 's/ priority: .*"
LANES = [
    {"name": "desk-reserved", "min_replicas": 1, "max_replicas": 1, "priority": 10},
    {"name": "desk-spot"},
]


@pytest_asyncio.fixture(scope="module")
async def shell(edit_addon: Handle) -> AsyncIterator[Handle]:
    """The server, with a service that runs in two lanes."""
    await edit_addon.apply(service("shell", "desk", fleets=LANES, replicas=2, probes=PROBES))

    async def runs() -> bool:
        return await ready(edit_addon) == {"desk-reserved": 1, "desk-spot": 1}

    await until(runs, limit=90, every=0.3, what="the service to run where its lanes say")
    yield edit_addon
    await edit_addon.stop_run("shell")


async def ready(sim: Handle) -> dict[str | None, int]:
    """Ready replicas by fleet."""
    async with client_of(sim) as client:
        found = (await look(client, sim)).service_named("shell")
    assert found is not None
    return {share.fleet: share.ready for share in found.shares if share.ready}


async def lanes(sim: Handle) -> list[tuple[str, int, int]]:
    """The lanes as the server has stored them: fleet, priority and minimum."""
    stored = (await sim.run("shell"))["run_spec"]["configuration"]["fleets"]
    return [
        (lane["name"], lane.get("priority") or 0, lane.get("min_replicas") or 0) for lane in stored
    ]


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


async def pressed(press: Callable[[], object], done: Callable[[], bool]) -> None:
    """Presses a key until it counts: one pressed before its screen was drawn does nothing."""

    def look() -> bool:
        if not done():
            press()
        return done()

    await until(look, every=0.5, limit=20, what="a key to count")


def user(sim: Handle, state: Path, **more: str) -> dict[str, str]:
    return {**connecting(sim), "XDG_STATE_HOME": str(state), "VISUAL": "", "EDITOR": "", **more}


def script(path: Path, text: str) -> str:
    """A program to edit with."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.slow
@longest
async def test_lanes_change_their_order_and_a_replica_moves_while_requests_flow(
    shell: Handle, tmp_path: Path
):
    """From the list to the end of the change, by keys alone; no request fails on the way."""
    before = await shell.run("shell")
    assert await lanes(shell) == [("desk-reserved", 10, 1), ("desk-spot", 0, 0)]
    requests = Requests(shell, "shell")
    async with requests.flowing(), real_terminal(**user(shell, tmp_path)) as screen:
        await shown(screen, "Problems")
        screen.press("2")
        await shown(screen, "shell")
        screen.press("/", *"shell", "Enter")
        await shown(screen, "/shell  1 of")
        screen.press("e")
        await shown(screen, "Edit shell")
        await shown(screen, "nothing changed yet")
        # The spot lane goes first and holds two; nothing has to be reserved any more.
        screen.press("Down", "K", "Right", "2", "Enter", "Down", "0", "Enter")
        await shown(screen, "draft kept")
        screen.press("p")
        await shown(screen, "Plan for shell in")
        await shown(screen, "fleets desk-reserved min_replicas")
        assert await lanes(shell) == [("desk-reserved", 10, 1), ("desk-spot", 0, 0)]

        await pressed(lambda: screen.press("Right"), lambda: screen.shows("[ Apply ]"))
        screen.press("Enter")
        await shown(screen, "was applied as deployment")
        await shown(screen, "Press Esc to go back.", limit=240)
        assert screen.shows("done")
        assert await ready(shell) == {"desk-spot": 2}
    after = await shell.run("shell")
    assert sorted(await lanes(shell)) == [("desk-reserved", 0, 0), ("desk-spot", 10, 2)]
    assert (after["id"], after["deployment_num"]) == (before["id"], before["deployment_num"] + 1)
    assert not requests.failed
    assert requests.answered > 20


async def test_a_draft_survives_a_closed_terminal(shell: Handle, tmp_path: Path):
    stored = await lanes(shell)
    async with terminal(**user(shell, tmp_path)) as program:
        await editor(program)
        program.press("4711\r")
        await until(lambda: program.shows("draft kept"), limit=20, what="the draft")
        program.hang_up()
        await until(lambda: program.process.poll() is not None, limit=20, what="the end")
    async with terminal(**user(shell, tmp_path)) as program:
        await editor(program)
        await until(lambda: program.shows("A draft of shell is kept"), limit=20, what="the offer")
        await until(lambda: program.shows("to 4711"), limit=20, what="what the draft changes")
        program.forget()
        await pressed(lambda: program.press("\r"), lambda: program.shows("draft kept"))
        await until(lambda: program.shows("4711"), limit=20, what="what was typed")
    assert await lanes(shell) == stored


async def test_the_user_s_own_editor_edits_the_text(shell: Handle, tmp_path: Path):
    """That of `$VISUAL`, where both are set."""
    stored = await lanes(shell)
    change = script(tmp_path / "editor", f'{_OF_LANES}/ priority: 4711/\' "$1"')
    own = user(shell, tmp_path / "state", VISUAL=change, EDITOR="sh -c 'exit 9'")
    async with terminal(**own) as program:
        await editor(program)
        program.press("E")
        await until(lambda: program.shows("4711"), limit=20, what="the edited lane")
        await until(lambda: program.shows("was priority"), limit=20, what="what it was")
        assert not program.shows("status 9")
    assert await lanes(shell) == stored, "nothing is sent before a plan"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("true", "The text was not changed."),
        ("sh -c 'exit 3'", "sh ended with status 3. The text was not saved."),
        ("no-such-editor", "no-such-editor can't be started"),
    ],
)
async def test_an_editor_that_leaves_the_text_or_fails(
    shell: Handle, tmp_path: Path, command: str, said: str
):
    async with terminal(**user(shell, tmp_path, EDITOR=command)) as program:
        await editor(program)
        program.press("E")
        await until(lambda: program.shows(said), limit=20, what=said)
        assert not program.shows("draft kept")


async def test_text_that_is_wrong_comes_back_with_the_line_on_top(shell: Handle, tmp_path: Path):
    again = tmp_path / "again"
    spoil, fix = (f'{_OF_LANES}/ priority: {value}/\' "$1"' for value in ("[", "4711"))
    both = script(
        tmp_path / "editor",
        f'if grep -q "^# !" "$1"; then cp "$1" {again}; {fix}; else {spoil}; fi',
    )
    async with terminal(**user(shell, tmp_path / "state", EDITOR=both)) as program:
        await editor(program)
        program.press("E")
        await until(lambda: program.shows("4711"), limit=20, what="the edited lane")
    text = again.read_text()
    assert text.startswith("# ! The text is not valid YAML")
    assert "priority: [" in text, "what was written is kept"
