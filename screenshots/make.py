"""Makes the pictures and the recording of the README (`make screenshots`)."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from textual.widgets import Static

from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.model.router import Sync
from dstack_api_client.recordings.replay import Replay
from dstack_fleets_tui.app.run import app_playing
from dstack_fleets_tui.recorded import INCIDENT, read_named
from dstack_fleets_tui.screens.edit.applying import ApplyScreen
from dstack_fleets_tui.screens.edit.plan import PlanScreen
from dstack_fleets_tui.screens.edit.service import EditScreen
from dstack_fleets_tui.screens.parts.asking import AskScreen
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_fleets_tui.settings.settings import Settings
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
    """What would be left without a fleet, and the plan of the drain of one of its instances."""
    await walk.press("1")
    await walk.front("fleets")
    walk.app.screen.query_one(LiveTable).move_cursor_to(_fleet(walk, "gpu-reserved"))
    await walk.press("W")
    await walk.until(lambda: "Without gpu-reserved" in walk.text, "answer")
    await walk.until(lambda: "not read yet" not in walk.text, "placement of every service")
    walk.picture("whatif")
    await walk.press("escape")
    await walk.front("fleets")
    await walk.open("gpu-reserved", "fleet")
    # Its minimum takes a place from another service.
    walk.app.screen.query_one(LiveTable).move_cursor_to(_instance_of(walk, "vision"))
    await walk.press("X")
    await walk.until(lambda: _asks(walk), "plan of the drain")
    walk.picture("drain")
    await walk.press("escape")
    await walk.front("fleet")
    await walk.press("escape")
    await walk.front("fleets")


def _asks(walk: Walk) -> bool:
    return isinstance(walk.screen, AskScreen) and walk.screen.takes_keys


def _fleet(walk: Walk, name: str) -> str:
    snapshot = walk.app.snapshot
    fleet = snapshot.fleet_named(name) if snapshot is not None else None
    return fleet.id if fleet is not None else ""


def _instance_of(walk: Walk, name: str) -> str:
    snapshot = walk.app.snapshot
    service = snapshot.service_named(name) if snapshot is not None else None
    if snapshot is None or service is None:
        return ""
    held = (each for each in snapshot.active_in(service) if each.fleet_name == "gpu-reserved")
    return next((each.instance_id or "" for each in held), "")


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


async def replayed() -> None:
    """A moment of the incident that is shipped, and the charts near its end."""
    replay = Replay(read_named(INCIDENT))
    with TemporaryDirectory() as folder:
        app = app_playing(
            replay, Settings(), store=Store(Path(folder)), terminal_is_gone=lambda: False
        )
        async with app.run_test(size=_HIGH) as pilot:
            walk = Walk(app, pilot)
            await walk.press("p", "2")
            await walk.front("services")
            await walk.press("colon", *"at +190s", "enter")
            await walk.until(lambda: "DEGRADED" in walk.text, "service that lacks a replica")
            await walk.open("chat-70b", "service")
            await walk.until(lambda: "no fleet yet" in walk.text, "replica without a place")
            walk.picture("replay", drawn=False)
            await walk.press("colon", *"at +500s", "enter", "T")
            for size in ((80, 24), (160, 45)):
                await pilot.resize_terminal(*size)
                await walk.until(lambda: "ready" in walk.text.lower(), "charts of the service")
                walk.picture(f"charts-{size[0]}x{size[1]}", drawn=False)


async def main() -> int:
    """Starts the scenarios, waits until each runs, and takes the pictures."""
    await replayed()
    for scenario, take in (("demo", stock), ("lanes", lanes_and_incident), (SCENARIO, field)):
        async with Simulator(scenario, port=PORT) as sim:
            await sim.settled()
            await take(sim)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
