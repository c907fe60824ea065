"""Makes the pictures and the recording of the README (`make screenshots`)."""

from __future__ import annotations

import asyncio
import sys
from typing import cast

from textual.widgets import Static

from dstack_api_client.model.router import Sync
from dstack_fleets_tui.screens.edit.applying import ApplyScreen
from dstack_fleets_tui.screens.edit.plan import PlanScreen
from dstack_fleets_tui.screens.edit.service import EditScreen
from dstack_fleets_tui.screens.parts.asking import AskScreen
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_simulator import Simulator
from dstack_widgets.inputs.choices import Choices
from dstack_widgets.panels.flow import Flow
from dstack_widgets.table.live_table import LiveTable
from screenshots.field import SCENARIO, field
from screenshots.incident import incident
from screenshots.picture import HERE
from screenshots.record import Recording
from screenshots.walk import Walk, walking

#: dstack's own port, so that the pictures show the same address each time.
PORT = 3000
#: Columns and rows.
_LOW, _HIGH = (140, 22), (140, 30)
#: Seconds that a change may take until every replica is where it should be.
_CHANGE = 180.0


async def stock(sim: Simulator) -> None:
    """The lists, and what they open, on a server without the add-on."""
    async with walking(sim, _LOW) as walk:
        # Something is wrong in this scenario, so the problems come up by themselves.
        await walk.front("problems")
        await walk.pilot.resize_terminal(*_HIGH)
        walk.picture("problems")
        await walk.pilot.resize_terminal(*_LOW)
        await walk.press("1")
        await walk.front("fleets")
        walk.picture("fleets")
        await walk.open("lab-h100", "fleet")
        walk.picture("fleet")
        await walk.press("2")
        await walk.front("services")
        walk.picture("services")
        await walk.open("chat-70b", "service")
        await walk.press("r")
        await walk.front("service")
        walk.picture("service")


async def lanes_and_incident(sim: Simulator) -> None:
    """What the add-on makes possible; at the end, two things go wrong."""
    await lanes(sim)
    await incident(sim)


async def lanes(sim: Simulator) -> None:
    """What the add-on makes possible: lanes, the router's list, an edit and the way back."""
    async with walking(sim, _LOW) as walk:
        await walk.until(lambda: _looked_at(walk), "look at the routers")
        await walk.press("2")
        await walk.front("services")
        await walk.open("chat-70b", "service")
        await walk.press("o")
        await walk.until(lambda: _all_in_sync(walk), "router with all of its workers")
        walk.picture("router")
        await walk.press("d")
        walk.picture("distribution")
        await losses(walk)
        await walk.press("2")
        await walk.front("service")
        await walk.pilot.resize_terminal(*_HIGH)
        await walk.press("r")
        await walk.front("service")
        await walk.press("down", "enter")
        # Its use is collected by the server now and then.
        await walk.until(lambda: "peak" in walk.text and "POST" in walk.text, "replica at work")
        walk.picture("replica")
        await walk.press("escape", "d")
        recording = Recording(walk.app)
        await _edit(walk, recording)
        await _take_back(walk, recording)
        for path in recording.save(HERE, "edit-recorded"):
            print(path.name)  # noqa: T201 - it says what it made


async def losses(walk: Walk) -> None:
    """What would be left without a fleet, and the plan of its drain."""
    await walk.press("1")
    await walk.front("fleets")
    walk.app.screen.query_one(LiveTable).move_cursor_to(_fleet(walk, "gpu-reserved"))
    await walk.press("W")
    await walk.until(lambda: "Without gpu-reserved" in walk.text, "answer")
    await walk.until(lambda: "not read yet" not in walk.text, "placement of every service")
    walk.picture("whatif")
    await walk.press("escape")
    await walk.front("fleets")
    await walk.press("X")
    await walk.until(lambda: _asks(walk), "plan of the drain")
    walk.picture("drain")
    await walk.press("escape")
    await walk.front("fleets")


def _asks(walk: Walk) -> bool:
    return isinstance(walk.screen, AskScreen) and walk.screen.takes_keys


def _fleet(walk: Walk, name: str) -> str:
    snapshot = walk.app.snapshot
    fleet = snapshot.fleet_named(name) if snapshot is not None else None
    return fleet.id if fleet is not None else ""


async def _edit(walk: Walk, recording: Recording) -> None:
    recording.take("A service in its lanes", 2.5)
    await walk.press("e")
    await walk.until(
        lambda: isinstance(walk.screen, EditScreen) and walk.screen.edit is not None, "editor"
    )
    recording.take("e  edit its lanes and counts", 2)
    await walk.press("down")
    recording.take("↓  to the second lane", 1)
    await walk.press("K")
    recording.take("K  have it filled first", 2)
    await walk.press("right")
    recording.take("→  to its minimum", 1)
    await walk.press("2")
    recording.take("2  two replicas always there", 1)
    await walk.press("enter")
    walk.picture("editor")
    recording.take("⏎  beside the fields: what would follow", 3)
    await walk.press("p")
    await walk.until(lambda: _plan_is_up(walk), "plan")
    walk.picture("plan")
    recording.take("p  the plan; Cancel has the cursor", 4)
    await _apply(walk, recording)


def _plan_is_up(walk: Walk) -> bool:
    return isinstance(walk.screen, PlanScreen) and walk.screen.takes_keys


async def _take_back(walk: Walk, recording: Recording) -> None:
    await walk.press("u")
    await walk.until(lambda: _plan_is_up(walk), "plan of the way back")
    recording.take("u  the way back, planned in the same way", 3)
    await _apply(walk, recording)


async def _apply(walk: Walk, recording: Recording) -> None:
    """Confirms a plan, follows it until it is done, and goes back to the service."""
    await walk.press("right")
    choices = walk.screen.query_one(Choices)
    await walk.until(lambda: choices.current == "apply", "cursor on Apply")
    recording.take("→  to Apply", 1)
    await walk.press("enter")
    await walk.until(lambda: isinstance(walk.screen, ApplyScreen), "change")
    caption, shown = "⏎  apply, and follow it", ""
    while shown is not None:
        shown = await _next(walk, shown)
        done = "done" in walk.screen.query_one("#head", Flow).text
        recording.take("done" if done else caption, 3 if done else 1)
        if done:
            break
    await walk.press("escape")
    await walk.until(lambda: isinstance(walk.screen, ServiceScreen), "service")
    recording.take("esc  back to the service", 3)


async def _next(walk: Walk, shown: str) -> str:
    """Waits until more has happened than that time went by; returns what is shown then."""

    def text() -> str:
        return str(walk.screen.query_one("#text", Static).content)

    def ended() -> bool:
        return "done" in walk.screen.query_one("#head", Flow).text

    await walk.until(lambda: text() != shown or ended(), "progress of the change", _CHANGE)
    return text()


def _looked_at(walk: Walk) -> bool:
    snapshot = walk.app.snapshot
    return snapshot is not None and not any(view.awaited for view in snapshot.routers.values())


def _all_in_sync(walk: Walk) -> bool:
    snapshot, screen = walk.app.snapshot, cast("ServiceScreen", walk.screen)
    router = snapshot.routers.get(screen.key) if snapshot else None
    if router is None or not router.workers:
        return False
    return all(w.sync is Sync.IN_SYNC and w.load is not None for w in router.workers)


async def main() -> int:
    """Starts the scenarios, waits until each runs, and takes the pictures."""
    for scenario, take in (("demo", stock), ("lanes", lanes_and_incident), (SCENARIO, field)):
        async with Simulator(scenario, port=PORT) as sim:
            await sim.settled()
            await take(sim)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
