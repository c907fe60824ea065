"""LiveTable beside Textual's DataTable: the same rows, the same terminal, the same process.

Bytes are counted where the driver writes to the terminal. Times are processor time from the call to
the last write it caused, so that waiting for the next frame does not count.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rich.text import Text
from textual.app import App, ComposeResult
from textual.drivers.headless_driver import HeadlessDriver
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import DataTable

from dstack_widgets.screen.lean_screen import LeanScreen
from dstack_widgets.table.live_table import CellValue, Column, LiveTable

from .table import Table

ROWS = 10_000
SIZE = (160, 50)
REPEATS = 7
KEY_PRESSES = 60
ROUNDS = 3

COLUMNS = [
    Column("replica", "REPLICA"),
    Column("service", "SERVICE"),
    Column("group", "GROUP"),
    Column("fleet", "FLEET"),
    Column("instance", "INSTANCE"),
    Column("state", "STATE"),
    Column("gpu", "GPU"),
    Column("load", "LOAD", justify="right"),
    Column("price", "$/H", justify="right"),
    Column("age", "AGE", justify="right"),
]
STATES = ("running", "running", "running", "provisioning", "pulling", "terminating")


def values(row: int, turn: int) -> list[str]:
    return [
        f"chat-70b-{row}",
        f"chat-{row % 100}",
        ("prefill", "decode", "router")[row % 3],
        f"gpu-fleet-{row % 10}",
        f"gpu-fleet-{row % 10}-{row % 100}",
        STATES[(row + turn) % len(STATES)],
        "H100:8",
        str((row * 7 + turn) % 100),
        f"{(row % 50) * 1.37:.2f}",
        f"{(row + turn) % 60}m",
    ]


class CountingDriver(HeadlessDriver):
    """Writes nowhere, as a terminal that reads at once, and counts."""

    written = 0

    @property
    def is_headless(self) -> bool:
        return False

    def write(self, data: str) -> None:
        CountingDriver.written += len(data.encode())


class Bench(App[None]):
    """Knows when it last painted."""

    def __init__(self) -> None:
        super().__init__(driver_class=CountingDriver)
        self.painted = asyncio.Event()
        self.painted_at = 0.0
        # As an app holds its snapshots: what a refresh replaces is not freed within it.
        self.kept: list[object] = []

    def keep(self, rows: object) -> None:
        self.kept = [*self.kept[-1:], rows]

    def post_display_hook(self) -> None:
        self.painted_at = time.thread_time()
        self.painted.set()


class LiveApp(Bench):
    def __init__(self, screen: type[Screen[Any]] = Screen) -> None:
        super().__init__()
        self.screen_type = screen

    def get_default_screen(self) -> Screen[Any]:
        return self.screen_type(id="_default")

    def compose(self) -> ComposeResult:
        yield LiveTable(COLUMNS)

    def fill(self, turn: int) -> Callable[[], None]:
        rows = {
            f"r{row}": tuple(
                CellValue(text, "busy") if index == 5 else text
                for index, text in enumerate(values(row, turn))
            )
            for row in range(ROWS)
        }
        self.keep(rows)
        return lambda: self.query_one(LiveTable).set_rows(rows)

    def change(self, turn: int) -> Callable[[], None]:
        cells = list(self.query_one(LiveTable).get_cells("r20"))
        cells[7] = str(turn + 10)
        return lambda: self.query_one(LiveTable).update_rows({"r20": cells})

    def tick(self, turn: int) -> Callable[[], None]:
        table = self.query_one(LiveTable)
        rows = {
            f"r{row}": (*table.get_cells(f"r{row}")[:9], f"{turn % 50 + 10}s")
            for row in range(ROWS)
        }
        self.keep(rows)
        return lambda: table.set_rows(rows)

    def add(self, turn: int) -> Callable[[], None]:
        return lambda: self.query_one(LiveTable).update_rows({f"n{turn}": values(turn, turn)})

    def scroll(self, turn: int) -> Callable[[], None]:
        return lambda: self.query_one(LiveTable).scroll_to(y=turn + 1, animate=False)

    def cursor(self, turn: int) -> Callable[[], None]:
        return self.query_one(LiveTable).action_cursor_down

    def sort(self, turn: int) -> Callable[[], None]:
        column = ("load", "service")[turn % 2]
        return lambda: self.query_one(LiveTable).sort_by(column)


class DataApp(Bench):
    def compose(self) -> ComposeResult:
        yield DataTable(cursor_type="row")

    def on_mount(self) -> None:
        self.table.add_columns(*[(column.title, column.key) for column in COLUMNS])

    @property
    def table(self) -> DataTable[Any]:
        return self.query_one(DataTable)

    @staticmethod
    def cells(row: int, turn: int) -> list[Text]:
        return [
            Text(text, style="green" if index == 5 else "")
            for index, text in enumerate(values(row, turn))
        ]

    def fill(self, turn: int) -> Callable[[], None]:
        rows = [(f"r{row}", self.cells(row, turn)) for row in range(ROWS)]
        self.keep(rows)

        def refresh() -> None:
            self.table.clear()
            for key, cells in rows:
                self.table.add_row(*cells, key=key)

        return refresh

    def change(self, turn: int) -> Callable[[], None]:
        return lambda: self.table.update_cell("r20", "load", Text(str(turn + 10)))

    def tick(self, turn: int) -> Callable[[], None]:
        age = Text(f"{turn % 50 + 10}s")

        def update() -> None:
            for row in range(ROWS):
                self.table.update_cell(f"r{row}", "age", age)

        return update

    def add(self, turn: int) -> Callable[[], None]:
        cells = self.cells(turn, turn)
        return lambda: self.table.add_row(*cells, key=f"n{turn}") and None

    def scroll(self, turn: int) -> Callable[[], None]:
        return lambda: self.table.scroll_to(y=turn + 1, animate=False)

    def cursor(self, turn: int) -> Callable[[], None]:
        return self.table.action_cursor_down

    def sort(self, turn: int) -> Callable[[], None]:
        column = ("load", "service")[turn % 2]
        key = (lambda cell: int(cell.plain)) if column == "load" else (lambda cell: cell.plain)
        return lambda: self.table.sort(column, key=key) and None


async def measured(
    app: Bench, pilot: Pilot[None], call: Callable[[], object], *, tidy: bool = True
) -> tuple[float, int]:
    await pilot.pause()
    if tidy:
        gc.collect()
    CountingDriver.written = 0
    app.painted.clear()
    start = app.painted_at = time.thread_time()
    call()
    # The first paint is waited for without Pilot, whose looking around takes time too; where more
    # follow, the last one counts.
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(app.painted.wait(), 0.5)
    await pilot.pause()
    return (app.painted_at - start) * 1000, CountingDriver.written


async def worst_key(app: Bench, pilot: Pilot[None]) -> float:
    """The slowest of many key presses while a poller makes new rows all the time.

    Of several rounds the median: other programs of the machine cause slow ones too.
    """
    worst = []
    for _ in range(ROUNDS):
        times = []
        for turn in range(KEY_PRESSES):
            polled = [values(row, turn) for row in range(300)]
            spent, _ = await measured(app, pilot, lambda: app.simulate_key("down"), tidy=False)
            times.append(spent)
            del polled
        worst.append(max(times))
    return statistics.median(worst)


#: What is measured: a title, and the method that prepares the call.
STEPS = (
    ("fill", "first fill", 1),
    ("fill", "full refresh", REPEATS),
    ("change", "one changed cell", REPEATS),
    ("tick", "every age changed", REPEATS),
    ("cursor", "cursor one row down", REPEATS),
    ("scroll", "scroll one row", REPEATS),
    ("add", "one row more", REPEATS),
    ("sort", "sort by a column", REPEATS),
)


async def measure(app: LiveApp | DataApp) -> dict[str, tuple[float, int]]:
    found: dict[str, tuple[float, int]] = {}
    turn = 0
    async with app.run_test(size=SIZE, headless=False) as pilot:
        for method, title, repeats in STEPS:
            times, sizes = [], []
            for _ in range(repeats):
                turn += 1
                spent, size = await measured(app, pilot, getattr(app, method)(turn))
                times.append(spent)
                sizes.append(size)
            found[title] = (statistics.median(times), round(statistics.median(sizes)))
        await measured(app, pilot, app.fill(0))
        found["worst key press"] = (await worst_key(app, pilot), 0)
        thresholds = gc.get_threshold()
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 5)
        try:
            found["worst key press, frozen"] = (await worst_key(app, pilot), 0)
        finally:
            gc.set_threshold(*thresholds)
            gc.unfreeze()
    return found


def run() -> Table:
    lean = asyncio.run(measure(LiveApp(LeanScreen)))
    live = asyncio.run(measure(LiveApp()))
    data = asyncio.run(measure(DataApp()))
    rows = []
    for title, (spent, size) in live.items():
        other, other_size = data[title]
        small = lean[title][1]
        rows.append(
            [
                title,
                f"{spent:.2f}",
                f"{other:.1f}",
                f"{other / spent:.0f}",
                *(
                    [str(size), str(small), str(other_size), f"{other_size / small:.0f}"]
                    if size
                    else [""] * 4
                ),
            ]
        )
    return Table(
        title=f"LiveTable and DataTable, {ROWS:,} rows, {SIZE[0]}x{SIZE[1]}",
        columns=["", "ms", "DataTable", "ratio", "bytes", "lean", "DataTable", "lean ratio"],
        rows=rows,
        note=(
            f"Medians of {REPEATS}, in processor time. Key presses: the slowest of {KEY_PRESSES},"
            f" median of {ROUNDS} rounds,\nwhile new rows are made;"
            " frozen: after gc.freeze() and with higher thresholds."
            " Lean: on a LeanScreen."
        ),
    )
