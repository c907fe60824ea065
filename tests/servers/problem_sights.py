"""What the Problems screen and `get problems` show, with a clock that may be ahead.

What is a problem only after minutes is judged with such a clock: the snapshot is the server's, the
time is not.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from unittest import mock

from dstack_api_client.analysis.since import Since
from dstack_api_client.clock import utc_now
from dstack_api_client.connect.connection import Connection
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Problem
from dstack_api_client.problems.watch import problems_of
from dstack_api_client.routers import pacing
from dstack_api_client.routers.watch import OverSsh
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.headless.get import collect, observe
from dstack_fleets_tui.headless.kinds import problems
from dstack_fleets_tui.headless.looking import Asked
from dstack_fleets_tui.live.source import open_source
from dstack_fleets_tui.screens.problems import ProblemsScreen
from dstack_fleets_tui.settings.settings import Settings
from dstack_simulator.handle.handle import Handle
from dstack_widgets.panels.findings import Findings
from dstack_widgets.table.cells import plain_text
from dstack_widgets.table.live_table import LiveTable
from tests.servers.commands import here
from tests.servers.router_sights import connection_to
from tests.waiting import until

#: Longer than what any of these problems must last.
LATER = timedelta(minutes=20)
Seen = dict[str, dict[str, Any]]


@dataclass
class Eyes:
    """A dashboard with the Problems screen in front, and the command."""

    app: FleetsApp
    connection: Connection
    ssh: bool = True
    notes: Sequence[str] = ()
    """What was last printed beside the items."""

    def on_screen(self) -> Seen:
        """The rows by the keys of their problems."""
        if not isinstance(self.app.screen, ProblemsScreen):
            return {}
        table = self.app.screen.query_one(LiveTable)
        return {
            key: {
                column.key: plain_text(cell)
                for column, cell in zip(table.columns, table.get_cells(key), strict=True)
            }
            for key in table.keys
        }

    async def printed(self) -> Seen:
        """The items by their keys."""
        asked = Asked("problems", ssh=self.ssh)
        whole = collect(await observe(self.connection, asked), asked)
        self.notes = whole["notes"]
        return {item["key"]: item for item in whole["problems"]}

    def noted(self) -> list[str]:
        """What stands on screen below the table."""
        return [each.text for each in self.app.screen.query_one("#findings", Findings).findings]

    async def both(self, wanted: Callable[[str], bool], words: str, limit: float = 60.0) -> Any:
        """Waits until a problem of that key stands in both, with these words.

        Returns:
            The item that is printed.
        """

        def shown() -> bool:
            rows = self.on_screen().items()
            return any(wanted(key) and words in each["problem"] for key, each in rows)

        async def told() -> dict[str, Any] | None:
            found = (await self.printed()).items()
            return next((i for key, i in found if wanted(key) and words in i["text"]), None)

        _, item = await asyncio.gather(
            until(shown, limit=limit, what=f"on screen: {words}"),
            until(told, limit=limit, every=0.3, what=f"printed: {words}"),
        )
        return item

    async def all_of(self, wanted: Mapping[str, str], limit: float = 120.0) -> Seen:
        """Waits until each of these problems has stood in both, with its words.

        Args:
            wanted: Words by the keys of problems.
            limit: Seconds.

        Returns:
            The items as they were printed, by their keys.
        """
        on_screen: set[str] = set()
        items: Seen = {}

        def shown() -> bool:
            rows = self.on_screen()
            on_screen.update(k for k in wanted if k in rows and wanted[k] in rows[k]["problem"])
            return on_screen == wanted.keys()

        async def told() -> bool:
            found = await self.printed()
            items.update(
                {k: found[k] for k in wanted if k in found and wanted[k] in found[k]["text"]}
            )
            return items.keys() == wanted.keys()

        try:
            await asyncio.gather(until(shown, limit=limit), until(told, limit=limit, every=0.3))
        except AssertionError:
            raise AssertionError(
                f"never on screen: {wanted.keys() - on_screen}, which has {self.on_screen()};"
                f" never printed: {wanted.keys() - items.keys()}"
            ) from None
        return items

    async def neither(self, wanted: Callable[[str], bool], limit: float = 90.0) -> None:
        """Waits until no problem of that key stands in either."""

        async def gone() -> bool:
            return not any(map(wanted, await self.printed()))

        # What is not read yet would be no problem either.
        await until(gone, limit=limit, every=0.3, what="printed no more")
        await until(
            lambda: (
                isinstance(self.app.screen, ProblemsScreen)
                and not any(map(wanted, self.on_screen()))
            ),
            limit=limit,
            what="on screen no more",
        )

    async def none_of(self, keys: Iterable[str]) -> None:
        """Waits until none of these problems stands in either."""
        gone = frozenset(keys)
        await self.neither(lambda key: key in gone)


@asynccontextmanager
async def eyes(
    sim: Handle, ahead: timedelta = LATER, over_ssh: OverSsh = OverSsh.OPENED
) -> AsyncIterator[Eyes]:
    """Opens the Problems screen.

    Args:
        sim: The server.
        ahead: By how much the clock is ahead.
        over_ssh: Which routers are read over SSH, on a server without the add-on.
    """

    def problems_later(
        snapshot: Snapshot, now: datetime, since: Since, others: Iterable[Problem]
    ) -> tuple[Problem, ...]:
        return problems_of(snapshot, now + ahead, since, others=others)

    connection = connection_to(sim)
    app = FleetsApp(
        connection,
        Settings(interval=1),
        now=lambda: utc_now() + ahead,
        open_source=partial(open_source, over_ssh=over_ssh),
        terminal_is_gone=lambda: False,
    )
    with (
        mock.patch.object(problems, "problems_of", problems_later),
        # What is told of routers is waited for here, and not their turn to be looked at.
        mock.patch.object(pacing, "OTHERS", 1.0),
    ):
        async with app.run_test(size=(200, 40)) as pilot:
            await pilot.press("3")
            await until(
                lambda: app.snapshot is not None and app.snapshot.complete,
                limit=30,
                what="a full read",
            )
            yield Eyes(app, connection, over_ssh is not OverSsh.NONE)


async def key_of(sim: Handle, kind: str, run: str, what: str = "") -> Callable[[str], bool]:
    """Tells a problem of a service by its key."""
    key = f"{kind}:{(await sim.run(run))['id']}" + (f":{what}" if what else "")
    return lambda other: other == key


def wrong_now(sim: Handle, subject: str, code: int) -> list[dict[str, Any]]:
    """What the command prints of one service, by the clock as it is."""
    process = here(sim, "get", "problems", subject, "-o", "json")
    assert (process.returncode, process.stderr) == (code, "")
    found: list[dict[str, Any]] = json.loads(process.stdout)["problems"]
    return found
