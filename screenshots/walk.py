"""Walks through the dashboard as a user does, and takes pictures on the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from textual.pilot import Pilot
from textual.screen import Screen

from dstack_api_client.connect.connection import Connection, Sources
from dstack_api_client.edits.store.keeping import Store
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.screens.parts.base import LiveScreen
from dstack_fleets_tui.settings.settings import Settings
from dstack_simulator import Simulator
from screenshots.picture import save

#: Seconds a screen may take to show what is waited for.
_LIMIT = 60.0


class Walk:
    """A dashboard that is open.

    Args:
        app: It.
        pilot: What presses its keys.
    """

    def __init__(self, app: FleetsApp, pilot: Pilot[int]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def screen(self) -> Screen[object]:
        """The screen in front."""
        return self.app.screen

    @property
    def text(self) -> str:
        """What is shown."""
        strips = self.app.screen._compositor.render_strips()
        return "\n".join(strip.text for strip in strips)

    async def press(self, *keys: str) -> None:
        """Presses keys, and waits until what they do at once is shown."""
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def until(self, ready: Callable[[], bool], what: str, limit: float = _LIMIT) -> None:
        """Waits for something to be shown.

        Args:
            ready: Tells whether it is.
            what: What it is, for the message.
            limit: Seconds it may take.

        Raises:
            TimeoutError: It is not shown in time.
        """
        end = time.monotonic() + limit
        while not ready():
            if time.monotonic() > end:
                raise TimeoutError(f"There is no {what} after {limit:g} s.")
            await asyncio.sleep(0.05)
        await self.pilot.pause()

    async def front(self, name: str) -> None:
        """Waits until a screen with a table is in front and filled."""

        def filled() -> bool:
            screen, snapshot = self.app.screen, self.app.snapshot
            return (
                snapshot is not None
                and snapshot.complete
                and isinstance(screen, LiveScreen)
                and screen.is_mounted
                and screen.name_of_screen == name
                and screen.table.row_count > 0
            )

        await self.until(filled, f"screen {name}")

    async def open(self, name: str, screen: str) -> None:
        """Opens a row of the list in front by its name."""
        await self.press("colon", *f"open {name}", "enter")
        await self.front(screen)

    def picture(self, name: str, *, drawn: bool = True) -> None:
        """Saves what is shown; without a PNG if it is not to be drawn."""
        print(save(self.app, name, drawn=drawn).name)  # noqa: T201 - it says what it made


@asynccontextmanager
async def walking(sim: Simulator, size: tuple[int, int]) -> AsyncIterator[Walk]:
    """Opens the dashboard on a simulator.

    Args:
        sim: The simulator.
        size: Columns and rows of the terminal.
    """
    here = "the simulator"
    connection = Connection(sim.url, sim.project, sim.token, Sources(here, here, here))
    with TemporaryDirectory() as folder:
        app = FleetsApp(
            connection,
            Settings(interval=1.0),
            terminal_is_gone=lambda: False,
            store=Store(Path(folder)),
        )
        async with app.run_test(size=size) as pilot:
            yield Walk(app, pilot)
