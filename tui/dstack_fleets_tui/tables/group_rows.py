"""A service without lanes by its replica groups: a row per group."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from dstack_api_client.analysis.fleet_rows import Distribution
from dstack_api_client.analysis.group_rows import GroupRow
from dstack_api_client.model.purchases import purchase_of
from dstack_fleets_tui.tables.looks import Looks
from dstack_fleets_tui.words import words
from dstack_widgets.drawing.bars import Filling, filled_bar
from dstack_widgets.drawing.text import literal
from dstack_widgets.panels.findings import Finding
from dstack_widgets.table.cells import Cell, CellValue, Column

#: Cells of the bar of replicas.
_BAR = 8
#: What the keys of these rows begin with; no fleet's does.
_KEY = "group:"
#: Sorts after everything, whatever is sorted by.
_LAST = float("nan")

COLUMNS = (
    Column("group", "GROUP", min_width=8, max_width=24, priority=10, names=True),
    Column("purchase", "PURCHASE", priority=9, max_width=40),
    Column("min", "MIN", justify="right", priority=9),
    Column("max", "MAX", justify="right", priority=8),
    Column("running", "RUNNING", priority=10),
    Column("ready", "READY", justify="right", priority=10),
    Column("pending", "PENDING", justify="right", priority=9),
    Column("stopping", "STOPPING", justify="right", priority=1),
    Column("fleet", "FLEET", priority=7, max_width=24, names=True),
    Column("price", "$/H", justify="right", priority=6),
    Column("why", "WHY", min_width=16, max_width=240, priority=9, flexible=True),
)


def row_key(row: GroupRow) -> str:
    """The key of a row."""
    return _KEY + row.group.name


def cells(
    row: GroupRow,
    labels: Mapping[str, str],
    shown: Distribution,
    looks: Looks,
    *,
    brief: bool = True,
) -> Sequence[Cell]:
    """The cells of one row: one per column of `COLUMNS`.

    Args:
        row: The row.
        labels: What the groups are called, by name.
        shown: The service that the group is of.
        looks: Time and glyphs to show it with.
        brief: Whether it is said elsewhere what a minimum waits for.
    """
    label = labels.get(row.group.name, row.group.name)
    lost = row.is_baseline and row.lacks
    short = row.serving < row.running
    return (
        CellValue(f"{looks.glyphs.cross} {label}" if lost else label, "bad" if lost else ""),
        looks.text(purchase_of(row.group)),
        looks.number(row.group.replicas_min, "bad" if lost else ""),
        looks.number(row.group.replicas_max),
        _running(row, shown, looks),
        looks.number(row.serving, "warn" if short else "ok" if row.serving else "dim"),
        _count(row.pending, "starting", looks),
        _count(row.stopping, "ending", looks),
        looks.word(", ".join(row.fleets)),
        looks.price(row.price),
        CellValue(
            words.group_why(row, looks.since, brief=brief),
            "bad" if lost else "warn" if row.reason else "",
        ),
    )


def total(shown: Distribution, looks: Looks) -> Sequence[Cell]:
    """The row that adds the others up; it stands last however they are sorted."""
    rows = shown.by_group
    limits = [row.group.replicas_max for row in rows]
    most = "" if None in limits else str(sum(limit or 0 for limit in limits))
    digits = _digits(shown)
    known: dict[str, tuple[str, str]] = {
        "group": ("total", "dim"),
        "min": (str(sum(row.group.replicas_min for row in rows)), ""),
        "max": (most, ""),
        "running": (" " * (_BAR + 1) + str(shown.running).rjust(digits), ""),
        "ready": (str(shown.serving), ""),
        "pending": (str(sum(row.pending for row in rows) or looks.glyphs.dash), ""),
        "stopping": (str(sum(row.stopping for row in rows) or looks.glyphs.dash), ""),
        "price": (str(looks.price(shown.price).text), ""),
    }
    return [CellValue(*known.get(column.key, ("", "")), sort=_LAST) for column in COLUMNS]


def summary(row: GroupRow, labels: Mapping[str, str]) -> str:
    """One line on the row under the cursor: what its columns had no room for."""
    parts = (
        labels.get(row.group.name, row.group.name),
        purchase_of(row.group),
        f"fleet {', '.join(row.fleets)}" if row.fleets else "",
        f"{row.stopping} stopping" if row.stopping else "",
    )
    return "  ".join(part for part in parts if part)


def findings(shown: Distribution, looks: Looks, told: Collection[str] = ()) -> list[Finding]:
    """What is to be said of the groups, the loudest first.

    Args:
        shown: The service.
        looks: Time and glyphs to show it with.
        told: Keys of rows whose column says all of what they wait for.
    """
    names = {row: shown.labels.get(row.group.name, row.group.name) for row in shown.by_group}
    lost = [row for row in shown.by_group if row.is_baseline and row.lacks]
    waiting = [
        row for row in shown.by_group if row.reason and row not in lost and row_key(row) not in told
    ]
    return [
        *(Finding("bad", names[row], words.group_why(row, looks.since)) for row in lost),
        *(Finding("warn", names[row], row.reason) for row in waiting),
        *(Finding("dim", "", note) for note in shown.notes),
    ]


def _running(row: GroupRow, shown: Distribution, looks: Looks) -> CellValue:
    missing = max(0, row.group.replicas_min - row.running - row.pending)
    filling = Filling(row.serving, row.running - row.serving, row.pending, row.stopping, missing)
    scale = max(
        max(each.running + each.pending + each.stopping, each.group.replicas_min)
        for each in shown.by_group
    )
    bar = filled_bar(filling, scale, _BAR, looks.glyphs)
    return looks.bar(bar + literal(f" {row.running:>{_digits(shown)}}"), row.running)


def _digits(shown: Distribution) -> int:
    return len(str(max(shown.running, 1)))


def _count(number: int, style: str, looks: Looks) -> CellValue:
    """A count that is usually none, which is a dash."""
    return looks.number(number, style) if number else CellValue(looks.glyphs.dash, "dim", 0)
