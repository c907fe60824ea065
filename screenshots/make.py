"""Makes the pictures of the README from the running demo (`make screenshots`)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from datetime import datetime, timezone

from dstack_api_client.connection import Connection, Sources
from dstack_fleets_tui.app import FleetsApp
from dstack_fleets_tui.screens.base import LiveScreen
from dstack_fleets_tui.settings import Settings
from dstack_simulator import Simulator
from screenshots.picture import save

SIZE = (132, 24)
#: Seconds a screen may take to show what is waited for.
_LIMIT = 30.0
#: What the pictures open.
FLEET, SERVICE = "gpu-reserved", "chat-70b"


async def take(url: str, token: str, project: str) -> None:
    """Walks through the screens of a server and saves each.

    Args:
        url: The server's address.
        token: The token of a user.
        project: The project to show.
    """
    here = "the simulator"
    connection = Connection(url, project, token, Sources(here, here, here))
    app = FleetsApp(connection, Settings(), terminal_is_gone=lambda: False)
    async with app.run_test(size=SIZE) as pilot:

        async def screen(name: str, ready: Callable[[], bool]) -> None:
            await _until(ready, name)
            await pilot.pause()
            print(save(app, name))  # noqa: T201 - it says what it made

        def rows(at_least: int = 1) -> bool:
            screen = app.screen
            if app.snapshot is None or not app.snapshot.complete or not screen.is_mounted:
                return False
            return isinstance(screen, LiveScreen) and screen.table.row_count >= at_least

        def shown(name: str) -> bool:
            return (
                rows() and isinstance(app.screen, LiveScreen) and app.screen.name_of_screen == name
            )

        # The demo has problems, so they come up by themselves.
        await screen("problems", lambda: shown("problems"))
        await pilot.press("1")
        await screen("fleets", lambda: shown("fleets"))
        await pilot.press("colon", *f"open {FLEET}", "enter")
        await screen("fleet", lambda: shown("fleet"))
        await pilot.press("2")
        await screen("services", lambda: shown("services"))
        await pilot.press("colon", *f"open {SERVICE}", "enter")
        await screen("service", lambda: shown("service"))


async def _until(ready: Callable[[], bool], what: str) -> None:
    end = datetime.now(timezone.utc).timestamp() + _LIMIT
    while not ready():
        if datetime.now(timezone.utc).timestamp() > end:
            raise TimeoutError(f"The screen {what} did not fill within {_LIMIT:g} s.")
        await asyncio.sleep(0.05)


async def main() -> int:
    """Starts the demo, waits until it runs, and takes the pictures."""
    async with Simulator("demo") as sim:
        await sim.settled()
        await take(sim.url, sim.token, sim.project)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
