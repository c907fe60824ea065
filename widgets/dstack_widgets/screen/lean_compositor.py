"""A compositor that writes only the cells that changed, for the Textual that it fits."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from rich.cells import cell_len
from rich.console import Console
from rich.control import Control
from textual._compositor import ChopsUpdate, Compositor, ReflowResult
from textual.errors import NoWidget
from textual.geometry import Offset, Region, Size
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

from dstack_widgets.screen.text_selection import SelectsText


def fits() -> bool:
    """Whether Textual has what this builds on, none of which it promises to keep."""
    return (
        _takes(ChopsUpdate.__init__, "chops", "spans", "chop_ends")
        and _takes(Compositor.reflow, "parent", "size")
        and _takes(Screen._refresh_layout, "size", "scroll")
        and _takes(Screen._compositor_refresh)
        and _takes(Screen._on_timer_update)
        and {"resized", "shown"} <= {*ReflowResult._fields}
        and _takes(Compositor._render_chops, "crop", "is_rendered_line")
        and "_full_map_invalidated" in vars(Compositor())
        and hasattr(Compositor, "render_partial_update")
        and hasattr(Widget, "_exchange_repaint_regions")
    )


def _takes(function: Callable[..., object], *names: str) -> bool:
    return tuple(inspect.signature(function).parameters)[1:] == names


class _LeanUpdate(ChopsUpdate):
    """Writes each changed stretch of a line from where it begins.

    Textual writes it from where the widget begins: a changed cell in the last column costs the
    whole row.
    """

    def render_segments(self, console: Console) -> str:
        sequences: list[str] = []
        for y, first, last in self.spans:
            for end, (start, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=True):
                left, right = max(start, first), min(end, last)
                if strip is None or left >= right:
                    continue
                left -= _parts_a_sign(strip, left - start)
                right += _parts_a_sign(strip, right - start)
                sequences.append(Control.move_to(left, y).segment.text)
                sequences.append(strip.crop(left - start, right - start).render(console))
        return "".join(sequences)


def _parts_a_sign(strip: Strip, cut: int) -> bool:
    """Whether a cut goes through the middle of a wide sign: half of one can't be written."""
    around = strip.crop(cut - 1, cut + 1).text if 0 < cut < strip.cell_length else ""
    return cell_len(around[:1]) > 1


def _runs(lines: Sequence[int]) -> list[tuple[int, int]]:
    """Lines that follow each other: where each run begins and ends."""
    found: list[tuple[int, int]] = []
    for y in lines:
        if found and found[-1][1] == y:
            found[-1] = found[-1][0], y + 1
        else:
            found.append((y, y + 1))
    return found


class LeanCompositor(Compositor):
    """Makes lean updates, and asks a table where in its text the pointer is."""

    def get_widget_and_offset_at(self, x: int, y: int) -> tuple[Widget | None, Offset | None]:
        """The widget at a place, and where in its text that is."""
        try:
            widget, region = self.get_widget_at(x, y)
        except NoWidget:
            return None, None
        if isinstance(widget, SelectsText):
            return widget, widget.place_in_text(x - region.x, y - region.y)
        return super().get_widget_and_offset_at(x, y)

    def __init__(self) -> None:
        super().__init__()
        self.resized: set[Widget] = set()
        """The widgets to which the last layout gave another size."""

    def reflow(self, parent: Widget, size: Size) -> ReflowResult:
        """Lays out, and knows where all is: Textual would lay out again for the first who asks."""
        result = super().reflow(parent, size)
        self._full_map_invalidated = False
        self.resized = result.resized | result.shown
        return result

    def _render_chops(
        self, crop: Region, is_rendered_line: Callable[[int], bool]
    ) -> Sequence[Mapping[int, Strip]]:
        """Draws what is to be written, and nothing else.

        Textual draws all lines of all widgets that the changes are between: a clock at the top and
        a cell at the bottom are the whole screen.
        """
        cuts = self.cuts
        chops: list[dict[int, Strip | None]] = [dict.fromkeys(line[:-1]) for line in cuts]
        wanted = [y for y in crop.line_range if is_rendered_line(y) and y < len(chops)]
        for widget, (region, clip) in self.visible_widgets.items():
            shown = region.intersection(clip)
            if not shown.overlaps(crop):
                continue
            first, last = shown.column_span
            here = {
                y: [cut for cut in cuts[y] if first <= cut <= last]
                for y in wanted
                if shown.y <= y < shown.bottom
            }
            # What is behind others is not seen.
            lines = [y for y in here if any(chops[y][cut] is None for cut in here[y][:-1])]
            for top, bottom in _runs(lines):
                part = Region(shown.x - region.x, top - region.y, shown.width, bottom - top)
                for y, strip in zip(range(top, bottom), widget.render_lines(part), strict=False):
                    pieces = strip.divide([cut - shown.x for cut in here[y][1:]])
                    for cut, piece in zip(here[y], pieces, strict=False):
                        if chops[y][cut] is None:
                            chops[y][cut] = piece
        return cast("Sequence[Mapping[int, Strip]]", chops)

    def render_partial_update(self) -> ChopsUpdate | None:
        """What is to be written since the last time."""
        update = super().render_partial_update()
        if update is None:
            return None
        return _LeanUpdate(update.chops, update.spans, update.chop_ends)


FITS = fits()
