"""A screen that writes only the cells that changed."""

from __future__ import annotations

from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.control import Control
from textual._compositor import ChopsUpdate, Compositor, ReflowResult
from textual.errors import NoWidget
from textual.geometry import Offset, Size
from textual.reactive import var
from textual.screen import Screen, ScreenResultType
from textual.selection import SelectState
from textual.strip import Strip
from textual.widget import Widget

from dstack_widgets.screen.painting import PaintsAll
from dstack_widgets.screen.text_selection import SelectsText


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


class _LeanCompositor(Compositor):
    """Makes lean updates, and asks a table where in its text the pointer is."""

    def get_widget_and_offset_at(self, x: int, y: int) -> tuple[Widget | None, Offset | None]:
        try:
            widget, region = self.get_widget_at(x, y)
        except NoWidget:
            return None, None
        if isinstance(widget, SelectsText):
            return widget, widget.place_in_text(x - region.x, y - region.y)
        return super().get_widget_and_offset_at(x, y)

    def reflow(self, parent: Widget, size: Size) -> ReflowResult:
        """Lays out, and knows where all is: Textual would lay out again for the first who asks."""
        result = super().reflow(parent, size)
        self._full_map_invalidated = False
        return result

    def render_partial_update(self) -> ChopsUpdate | None:
        update = super().render_partial_update()
        if update is None:
            return None
        return _LeanUpdate(update.chops, update.spans, update.chop_ends)


class LeanScreen(PaintsAll, Screen[ScreenResultType]):
    """A screen for slow lines: of a line that changed in part, only that part is written."""

    # Textual has the whole screen painted where it changes, twice at each click. Widgets paint by
    # themselves what is selected.
    _select_state: var[SelectState | None] = var(None)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Makes a screen.

        Args:
            args: As for every screen.
            kwargs: As for every screen.
        """
        super().__init__(*args, **kwargs)
        self._compositor = _LeanCompositor()

    def _watch__select_state(self, select_state: SelectState | None) -> None:
        """Follows the mouse."""
        if select_state is None:
            self._selecting = False
        else:
            super()._watch__select_state(select_state)

    def _screen_resized(self, size: Size) -> None:
        """Lays out for another size; what else is to be laid out waits for the next frame.

        Textual tells a new screen its size several times, and lays out and paints all each time.
        """
        if size != self._compositor.size:
            super()._screen_resized(size)
