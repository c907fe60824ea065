"""What an edit of a fleet would do, in lines: instances now and after, and which ones end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from textual.content import Content

from dstack_api_client.edits.fleet.fleet_effects import Effects
from dstack_api_client.model.fleet import Instance
from dstack_api_client.text import one_line
from dstack_fleets_tui.words import formatting
from dstack_widgets.drawing.glyphs import UNICODE, Glyphs
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal

#: Ending instances that are named; the others are counted.
_NAMED = 6


def whole(found: Effects, glyphs: Glyphs = UNICODE) -> Sequence[Content]:
    """`instances  4 → 2  end 2`, each that ends and why, and what is saved."""
    doing = [f"start {found.starts}"] if found.starts else []
    doing += [f"add {len(found.added)}"] if found.added else []
    doing += [f"end {len(found.ends)}"] if found.ends else []
    style = "strong" if doing else ""
    line = literal(f"instances  {found.now} {glyphs.arrow} {found.after}", style_of(style))
    line += literal(f"  {', '.join(doing)}" if doing else "", style_of("dim"))
    return [line, *_adding(found), *_ending(found), *_price(found)]


def _adding(found: Effects) -> Iterator[Content]:
    for name in found.added[:_NAMED]:
        yield literal(f"  add {one_line(name)}", style_of("accent"))
    yield from _more(len(found.added))


def _more(number: int) -> Iterator[Content]:
    if number > _NAMED:
        yield literal(f"  and {number - _NAMED} more", style_of("dim"))


def _ending(found: Effects) -> Iterator[Content]:
    reasons = [(each, "no longer fits") for each in found.unfit]
    reasons += [(each, "above `max`") for each in found.above]
    reasons += [(each, f"host {one_line(each.hostname or '')}") for each in found.removed]
    for instance, why in reasons[:_NAMED]:
        yield _line(instance, why)
    yield from _more(len(reasons))


def _line(instance: Instance, why: str) -> Content:
    what = literal(f"  end {instance.name}", style_of("warn"))
    return what + literal(f"  {instance.status}, {why}", style_of("dim"))


def _price(found: Effects) -> Iterator[Content]:
    saved = sum(instance.price or 0.0 for instance in found.ends)
    if saved:
        yield literal(f"-{formatting.price(saved)} $/h", style_of("strong"))
    if found.starts:
        text = "The plan has the offers and prices of what starts."
        yield literal(text, style_of("dim"))
