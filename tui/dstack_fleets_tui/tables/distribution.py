"""A service over its fleets: a row per lane, or per fleet where there are no lanes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from textual.content import Content

from dstack_api_client.analysis.fleet_rows import Cell as GroupCell
from dstack_api_client.analysis.fleet_rows import Distribution, FleetRow
from dstack_api_client.model.labels import counted, in_text, lane_name, lane_row
from dstack_fleets_tui.tables.looks import Looks
from dstack_placement.engine import LANE_COLUMNS
from dstack_widgets.drawing.bars import Filling, Share, filled_bar, share_bar
from dstack_widgets.drawing.glyphs import UNICODE
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal, told_apart
from dstack_widgets.panels.findings import Finding
from dstack_widgets.table.cells import Cell, CellValue, Column

#: Cells of the bar of replicas.
_BAR = 8
#: The key of the row that adds the others up.
TOTAL = "total"
#: Sorts after everything, whatever is sorted by.
_LAST = float("nan")
#: What the columns of groups begin with.
GROUP = "group "
#: Cells of the title of a group's column.
_TITLE = 12
#: Cells that the other columns want, and a column of a group: below that, groups have a line.
_OTHERS, _ONE_GROUP = 98, 9
#: How long a column of lanes is kept where there is little room.
_KEPT = {"priority": 7, "min": 9, "max": 8}
_NO_FLEET = "no fleet yet"


@dataclass(frozen=True)
class Shape:
    """What the rows of one distribution have in common.

    Attributes:
        columns: The columns there are.
        groups: Named replica groups, each with a column; none where there is but one.
        scale: Replicas that the whole width of a bar stands for.
        digits: Of the greatest number beside a bar.
        labels: What all groups are called, by name.
    """

    columns: tuple[Column, ...]
    groups: tuple[str, ...]
    scale: int
    digits: int
    labels: Mapping[str, str]


def groups_fit(distribution: Distribution, width: int) -> bool:
    """Whether there is room for a column per replica group."""
    return width >= _OTHERS + _ONE_GROUP * len(distribution.groups)


def shape(distribution: Distribution, width: int, ellipsis: str = UNICODE.ellipsis) -> Shape:
    """Finds which columns there are; those that mean nothing on this server are left out.

    Args:
        distribution: The service over its fleets.
        width: Cells that there are for all columns.
        ellipsis: Where the name of a group was cut.
    """
    rows = distribution.rows
    named = len(distribution.groups) > 1 and groups_fit(distribution, width)
    groups = distribution.groups if named else ()
    lanes = any(row.lane is not None for row in rows)
    columns = [Column("fleet", "FLEET", min_width=8, max_width=24, priority=10, names=True)]
    if any(row.pool for row in rows):
        columns.append(Column("pool", "LANES OF", priority=9, max_width=16, names=True))
    if lanes:
        columns += [
            Column(each.short, each.title, justify="right", priority=_KEPT.get(each.short, 8))
            for each in LANE_COLUMNS
        ]
    if any(row.target is not None for row in rows):
        columns.append(Column("target", "TARGET", justify="right", priority=9))
    columns += [
        Column("running", "RUNNING", priority=10),
        Column("ready", "READY", justify="right", priority=10),
        Column("pending", "PENDING", justify="right", priority=9),
        Column("stopping", "STOPPING", justify="right", priority=1),
    ]
    labels = [distribution.labels.get(name, name).upper() for name in groups]
    columns += [
        Column(GROUP + name, title, justify="right", priority=3, max_width=len(title))
        for name, title in zip(groups, told_apart(labels, _TITLE, ellipsis), strict=True)
    ]
    columns += [
        Column("price", "$/H", justify="right", priority=6),
        Column("why", "WHY", min_width=16, max_width=240, priority=9, flexible=True),
    ]
    return Shape(
        tuple(columns),
        tuple(groups),
        max((_scale(row) for row in rows), default=1),
        len(str(max(distribution.running, 1))),
        distribution.labels,
    )


def _scale(row: FleetRow) -> int:
    return max(row.running + row.pending + row.stopping, row.target or 0, row.minimum)


def row_key(row: FleetRow) -> str:
    """The key of a row."""
    return lane_row(row.pool, row.fleet)


def cells(row: FleetRow, shape: Shape, looks: Looks, *, brief: bool = True) -> Sequence[Cell]:
    """The cells of one row, one per column of the shape.

    Args:
        row: The row.
        shape: The columns.
        looks: Time and glyphs to show it with.
        brief: As for `why`.
    """
    short = row.serving < row.running
    known: dict[str, Cell] = {
        "fleet": _fleet(row, looks),
        "pool": looks.word(shape.labels.get(row.pool, row.pool)),
        **{
            each.short: looks.number(
                row.of_lane(each), "bad" if each.short == "min" and row.deficit else ""
            )
            for each in LANE_COLUMNS
        },
        "target": looks.number(row.target),
        "running": _running(row, shape, looks),
        "ready": looks.number(row.serving, "warn" if short else "ok" if row.serving else "dim"),
        "pending": _count(row.pending, "starting", looks),
        "stopping": _count(row.stopping, "ending", looks),
        "price": looks.price(row.price),
        "why": CellValue(why(row, looks, brief=brief), _loudness(row)),
    }
    for name in shape.groups:
        known[GROUP + name] = _group(row.groups.get(name), looks)
    return [known[column.key] for column in shape.columns]


def total(distribution: Distribution, shape: Shape, looks: Looks) -> Sequence[Cell]:
    """The row that adds the others up; it stands last however they are sorted."""
    known: dict[str, tuple[str, str]] = {
        "fleet": ("total", "dim"),
        "target": ("" if distribution.wanted is None else str(distribution.wanted), ""),
        "running": (" " * (_BAR + 1) + str(distribution.running).rjust(shape.digits), ""),
        "ready": (str(distribution.serving), ""),
        "pending": (str(distribution.pending or looks.glyphs.dash), ""),
        "stopping": (
            str(sum(row.stopping for row in distribution.rows) or looks.glyphs.dash),
            "",
        ),
        "price": (looks.price(distribution.price).text, ""),  # type: ignore[dict-item]
    }
    for name in shape.groups:
        held = [row.groups[name] for row in distribution.rows if name in row.groups]
        known[GROUP + name] = (str(sum(cell.running for cell in held)), "")
    return [CellValue(*known.get(column.key, ("", "")), sort=_LAST) for column in shape.columns]


def why(row: FleetRow, looks: Looks, *, brief: bool = False) -> str:
    """Why a row is as it is; a minimum that is not met comes first.

    Args:
        row: The row.
        looks: Time and glyphs to show it with.
        brief: Whether it is said elsewhere why replicas fell back, or what a minimum waits for.
    """
    fallen = _fallen(row, brief=brief) if row.fallbacks else ""
    if not row.deficit or row.lane is None:
        return "; ".join(part for part in (fallen, row.reason_here) if part)
    since = f" for {looks.since(row.deficit_since)}" if row.deficit_since else ""
    cause = "" if brief else row.cause_here
    told = f"BASELINE {row.held} of {row.minimum}{since}" + (f": {cause}" if cause else "")
    return "; ".join(part for part in (told, fallen) if part)


def summary(row: FleetRow, labels: Mapping[str, str], looks: Looks, *, told: bool = False) -> str:
    """One line on the row under the cursor: what its columns had no room for.

    Args:
        row: The row.
        labels: What the groups are called.
        looks: Time and glyphs to show it with.
        told: Whether its column says all of why it is so.
    """
    groups = ", ".join(
        f"{in_text(labels.get(name, name))} {group_text(cell)}" for name, cell in row.groups.items()
    )
    parts = (
        _name(row),
        f"lanes of {labels.get(row.pool, row.pool)}" if row.pool else "",
        groups if len(row.groups) > 1 else "",
        f"{row.stopping} stopping" if row.stopping else "",
        "" if told or has_finding(row, looks) else why(row, looks),
    )
    return "  ".join(part for part in parts if part)


def group_line(distribution: Distribution, looks: Looks) -> list[Content]:
    """Each named group and its fleets, `decode  gpu-reserved 2 · gpu-spot 5+1`."""
    if len(distribution.groups) < 2:
        return []
    parts = []
    for name in distribution.groups:
        shares: dict[str, Share] = {}
        for row in distribution.rows:
            cell = row.groups.get(name)
            if cell is not None and cell.running + cell.pending:
                fleet = _name(row)
                known = shares.get(fleet, Share(fleet, 0))
                shares[fleet] = Share(
                    fleet, known.running + cell.running, known.starting + cell.pending
                )
        title = literal(f"{distribution.labels.get(name, name)} ", style_of("dim"))
        parts.append(title + share_bar(list(shares.values()), glyphs=looks.glyphs))
    return parts


def findings(distribution: Distribution, looks: Looks, told: Collection[str] = ()) -> list[Finding]:
    """What is to be said of a distribution, the loudest first.

    Args:
        distribution: The service over its fleets.
        looks: Time and glyphs to show it with.
        told: Keys of rows whose column says all of what they wait for.
    """
    rows, labels = distribution.rows, distribution.labels
    lost = [Finding("bad", _lane(row, labels), why(row, looks)) for row in rows if row.deficit]
    # A cause is said once: of the minimum that is not met, else of those that fell back.
    said = {row.cause for row in rows if row.deficit and row.cause}
    fell = [
        Finding("warn", _lane(row, labels), _fallen(row))
        for row in rows
        if row.fallbacks and not row.deficit and not said.issuperset(row.causes_fallen or ("",))
    ]
    said.update(cause for row in rows for cause in row.causes_fallen)
    waiting = [
        Finding("warn", _lane(row, labels), row.reason_here)
        for row in rows
        if _waits(row, looks) and row.reason not in said and row_key(row) not in told
    ]
    notes = [Finding("dim", "", note) for note in distribution.notes]
    return [*lost, *fell, *waiting, *notes]


def has_finding(row: FleetRow, looks: Looks) -> bool:
    """Whether a finding says why a row is as it is."""
    return bool(row.deficit or row.fallbacks or _waits(row, looks))


def _waits(row: FleetRow, looks: Looks) -> bool:
    """Whether replicas wait for a place there, or the lane is in cooldown."""
    return bool(row.reason and not row.deficit) and (row.fleet is None or _cools(row, looks))


def _name(row: FleetRow) -> str:
    return row.fleet or _NO_FLEET


def _lane(row: FleetRow, labels: Mapping[str, str]) -> str:
    if row.fleet is None and row.pool:
        return f"{_NO_FLEET} ({labels.get(row.pool, row.pool)})"
    return lane_name(row.pool, _name(row), labels)


def _fallen(row: FleetRow, *, brief: bool = False) -> str:
    text = f"{counted(row.fallbacks, 'replica')} fell back here"
    if brief:
        return text
    return f"{text}: {'; '.join(row.causes_fallen)}" if row.causes_fallen else text


def _cools(row: FleetRow, looks: Looks) -> bool:
    return row.cooldown_until is not None and not looks.is_past(row.cooldown_until)


def _loudness(row: FleetRow) -> str:
    return "bad" if row.deficit else "warn" if row.fallbacks else ""


def _fleet(row: FleetRow, looks: Looks) -> CellValue:
    if row.fleet is None:
        return CellValue(_NO_FLEET, "warn", "\uffff")
    if row.deficit:
        return CellValue(f"{looks.glyphs.cross} {row.fleet}", "bad", row.fleet)
    return CellValue(row.fleet, "strong" if row.running else "")


def _running(row: FleetRow, shape: Shape, looks: Looks) -> CellValue:
    missing = max(0, row.minimum - row.running - row.pending)
    filling = Filling(row.serving, row.running - row.serving, row.pending, row.stopping, missing)
    bar = filled_bar(filling, shape.scale, _BAR, looks.glyphs)
    return looks.bar(bar + literal(f" {row.running:>{shape.digits}}"), row.running)


def _count(number: int, style: str, looks: Looks) -> CellValue:
    """A count that is usually none, which is a dash."""
    return looks.number(number, style) if number else CellValue(looks.glyphs.dash, "dim", 0)


def group_text(cell: GroupCell) -> str:
    """`5`, with `4/5` where only 4 are ready, and `+1` for one that does not run yet."""
    running = str(cell.running)
    if cell.serving < cell.running:
        running = f"{cell.serving}/{cell.running}"
    return running + (f"+{cell.pending}" if cell.pending else "")


def _group(cell: GroupCell | None, looks: Looks) -> CellValue:
    if cell is None or not (cell.running or cell.pending or cell.stopping):
        return CellValue(looks.glyphs.dash, "dim", 0)
    style = "warn" if cell.serving < cell.running else "starting" if cell.pending else ""
    return CellValue(group_text(cell), style, cell.running)
