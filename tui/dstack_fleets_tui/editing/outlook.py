"""What an edit would do, in lines: lanes now and after, replicas that do not stay, the price."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from textual.content import Content

from dstack_api_client.edits.outlook.outlooks import DryRun, LaneOutlook, ReplicaOutlook
from dstack_fleets_tui.words import formatting, words
from dstack_widgets.drawing.glyphs import UNICODE, Glyphs
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal


def lanes(outlook: DryRun, glyphs: Glyphs = UNICODE) -> list[Content]:
    """A line per lane: `gpu-spot   5 → 7   start 2`; then what waits."""
    names = [outlook.lane_name(lane) for lane in outlook.lanes]
    wide = max((cell_len(name) for name in (*names, "waiting")), default=0)
    lines = [
        _lane(lane, name, wide, glyphs) for lane, name in zip(outlook.lanes, names, strict=True)
    ]
    waiting = outlook.count("pending")
    if waiting:
        lines.append(literal(f"{'waiting':<{wide}}  {waiting:>9}", style_of("warn")))
    return lines


def price(outlook: DryRun, glyphs: Glyphs = UNICODE) -> Content:
    """The price per hour now and after."""
    now = formatting.price(outlook.price_now)
    if outlook.price_after is None:
        unknown = ", ".join(outlook.unpriced)
        dim = literal(f"  no price is known for {unknown}", style_of("dim"))
        return literal(f"{now} {glyphs.arrow} ? $/h") + dim
    after, change = formatting.price(outlook.price_after), outlook.price_change or 0.0
    both = literal(f"{now} {glyphs.arrow} {after} $/h")
    if abs(change) < 0.00005:
        return both
    sign = "+" if change > 0 else "-"
    return both + literal(f"  {sign}{formatting.price(abs(change))}", style_of("strong"))


def replicas(outlook: DryRun) -> list[Content]:
    """A line for each thing that replicas do and why, equal ones counted; last who stays.

    After them stands what a rolling deployment starts besides.
    """
    counted = Counter(_doing(row) for row in outlook.replicas if row.action != "stay")
    lines = []
    for (action, where, why), number in counted.items():
        what = f"{_VERBS.get(action, action)} {number}{where}"
        line = literal(f"{what}", style_of("warn" if action == "pending" else "strong"))
        lines.append(line + literal(f"  {why}" if why else "", style_of("dim")))
    for action, style in (("replace", ""), ("stay", "dim")):
        number = outlook.count(action)
        if number:
            lines.append(literal(f"{action} {number}", style_of(style)))
    return [*lines, *(_surge(row, outlook) for row in outlook.surges)]


def whole(outlook: DryRun, glyphs: Glyphs = UNICODE) -> Sequence[Content]:
    """All of it, and who tells."""
    notes = [literal(note, style_of("dim")) for note in outlook.notes]
    begun = [*lanes(outlook, glyphs), price(outlook, glyphs), Content(), *replicas(outlook)]
    return [*begun, *notes, _source(outlook)]


def of_plan(outlook: DryRun, glyphs: Glyphs = UNICODE) -> Sequence[Content]:
    """All of it but the price and the notes, which are warnings of a plan, and who tells."""
    return [*lanes(outlook, glyphs), Content(), *replicas(outlook), _source(outlook)]


def _source(outlook: DryRun) -> Content:
    return literal(f"source: {outlook.source.value}", style_of("dim"))


_VERBS = {"start": "start", "stop": "stop", "move": "move", "pending": "wait", "stay": "stay"}


def _surge(row: ReplicaOutlook, outlook: DryRun) -> Content:
    style = style_of("warn" if row.action == "pending" else "")
    return literal(words.surge(row, outlook.labels), style)


def _lane(lane: LaneOutlook, name: str, wide: int, glyphs: Glyphs) -> Content:
    style = "warn" if lane.deficit else "strong" if lane.after != lane.now else ""
    padding = " " * (wide - cell_len(name))
    line = literal(
        f"{name}{padding}  {lane.now:>3} {glyphs.arrow} {lane.after:>3}", style_of(style)
    )
    doing = ", ".join(_parts(lane))
    return line + literal(f"  {doing}", style_of("warn" if lane.deficit else "dim"))


def _parts(lane: LaneOutlook) -> Iterator[str]:
    for number, word in (
        (lane.start, "start"),
        (lane.stop, "stop"),
        (lane.enter, "move in"),
        (lane.leave, "move out"),
    ):
        if number:
            yield f"{word} {number}"
    if lane.deficit:
        yield f"{lane.deficit} short of its minimum"


def _doing(row: ReplicaOutlook) -> tuple[str, str, str]:
    """What a replica does, where, and why."""
    if row.action == "start":
        where = f" in {row.to}" if row.to else ""
    elif row.action == "stop":
        where = f" in {row.fleet}" if row.fleet else ""
    elif row.action == "move":
        where = f" from {row.fleet} to {row.to}"
    else:
        where = ""
    return row.action, where, row.why
