"""A screen that writes only the cells that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.cache import LRUCache
from textual.geometry import Size
from textual.reactive import var
from textual.screen import Screen, ScreenResultType
from textual.selection import SelectState

from dstack_widgets.screen.painting import PaintsAll

if TYPE_CHECKING:
    from dstack_widgets.screen.lean_compositor import LeanCompositor

#: Widgets that are asked for again and again, by name or by kind: many times what a screen has.
_FOUND = 64


def _compositor() -> LeanCompositor | None:
    """What writes less; None on a Textual that it does not fit, which then writes as it does."""
    try:
        from dstack_widgets.screen import lean_compositor
    except ImportError:
        return None
    return lean_compositor.LeanCompositor() if lean_compositor.FITS else None


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
        self._in_frame = False
        self._lean = _compositor()
        if self._lean is not None:
            self._compositor = self._lean
        # Textual keeps 1,024 widgets that were asked for, most from before something came or went.
        if isinstance(getattr(self, "_query_one_cache", None), LRUCache):
            self._query_one_cache = LRUCache(_FOUND)

    def _refresh_layout(self, *args: Any, **kwargs: Any) -> None:
        """Lays out and paints, and takes what it has painted for painted.

        A widget of another size asks to be painted, which the layout does; Textual would do it
        again with the next cell of it that changes.
        """
        super()._refresh_layout(*args, **kwargs)
        if self._lean is not None:
            for widget in self._lean.resized:
                widget._exchange_repaint_regions()
            self._lean.resized.clear()

    def _compositor_refresh(self) -> None:
        """Paints, unless the next frame lays out or paints all of it anyway.

        A screen that comes to the front would be painted empty first, and once more when it is
        filled.
        """
        next_frame = self._layout_required or self._repaint_required
        if self._lean is not None and self.is_active and next_frame and not self._in_frame:
            self._update_timer.resume()
            return
        super()._compositor_refresh()

    def _on_timer_update(self) -> None:
        """Lays out before all is painted where a widget has only just asked for it."""
        self._in_frame = True
        try:
            if self._lean is not None and self._repaint_required:
                self._layout_required |= any(each._layout_required for each in self.query("*"))
            super()._on_timer_update()
        finally:
            self._in_frame = False

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
