"""What screens have so that all is painted that was asked to be, and nothing kept once they go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual import events
from textual._styles_cache import StylesCache
from textual.screen import Screen

if TYPE_CHECKING:
    from textual.app import App
    from textual.await_remove import AwaitRemove
    from textual.dom import DOMNode
    from textual.widget import Widget

    _App = App[Any]
    _Base = Screen[Any]
else:
    # Textual takes styles and bindings from the first widget among the bases.
    _App = _Base = object


class LeavesFront(_App):
    """An app whose screen in front stays as it is while another goes for good.

    Textual lays out what is in front, and paints all of it, for each screen that was removed.
    """

    def _prune(self, *nodes: Widget, parent: DOMNode | None = None, **how: Any) -> AwaitRemove:
        if all(isinstance(node, Screen) for node in nodes):
            parent = None
        return super()._prune(*nodes, parent=parent, **how)


class PaintsAll(_Base):
    """A screen that forgets none of its widgets when a region of itself is to be painted too.

    Where something changes behind a screen, Textual has that region of the screen painted. It takes
    this for the whole screen, and leaves out what widgets asked for in the same turn. The screen
    behind also keeps the regions that it has handed on, and hands them on with every later one.
    """

    def on_unmount(self) -> None:
        """Lets what was drawn of it go.

        Textual remembers two colours for each of the last 1,024 widgets, and with them every line
        that was drawn of each.
        """
        forget = getattr(StylesCache.get_inner_outer, "cache_clear", None)
        if forget is not None:
            forget()

    def _on_screen_resume(self, event: events.ScreenResume) -> None:
        """Styles of a new screen only itself: its widgets have just got theirs.

        Itself, since its stylesheet is read after it was made and before they are.
        """
        if not self.stack_updates:
            event.refresh_styles = False
            self.app.stylesheet.apply(self)

    def _on_timer_update(self) -> None:
        if self._repaint_required and self.is_current and not self.app._batch_count:
            self._repaint_required = False
            self._dirty_widgets.add(self)
        super()._on_timer_update()
        if self.is_current and not self.is_active:
            self._repaint_regions.clear()
            self._repaint_required = False
