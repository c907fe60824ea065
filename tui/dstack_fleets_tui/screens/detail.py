"""What the screens of one fleet and one service share: a head and several views."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from dstack_widgets.facts import FactsPanel
from dstack_widgets.status_header import TabsLine
from textual.widget import Widget
from textual.widgets import ContentSwitcher

from dstack_fleets_tui.commands import CommandError
from dstack_fleets_tui.screens.base import LiveScreen


class DetailScreen(LiveScreen):
    """One thing of the snapshot, held by its key, with views to step through.

    Attributes:
        key: The id of the fleet or of the run. The thing may go while the screen is open.
    """

    views: ClassVar[Sequence[str]]
    """The ids of the views, which are their names in lower case."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key

    def body(self) -> Iterable[Widget]:
        """A head, the names of the views, and the view itself."""
        glyphs = self.fleets_app.glyphs
        yield FactsPanel(id="head", columns=2)
        yield TabsLine([("", view.capitalize()) for view in self.views], id="views", glyphs=glyphs)
        with ContentSwitcher(id="switcher", initial=self.views[0]):
            yield from self.contents()

    def contents(self) -> Iterable[Widget]:
        """A widget per view, its id the view's."""
        raise NotImplementedError

    @property
    def view(self) -> str:
        """The view in front."""
        return self.query_one(ContentSwitcher).current or self.views[0]

    def do_view(self, argument: str) -> None:
        """Shows the next view, or the named one."""
        self._step(1, argument)

    def do_view_back(self, argument: str) -> None:
        """Shows the previous view."""
        self._step(-1, argument)

    def _step(self, by: int, argument: str) -> None:
        index = (self.views.index(self.view) + by) % len(self.views)
        if argument:
            named = [v for v in self.views if v.startswith(argument.lower())]
            if not named:
                raise CommandError(f"No view is named {argument}. Views: {', '.join(self.views)}.")
            index = self.views.index(named[0])
        self.query_one(ContentSwitcher).current = self.views[index]
        self.query_one("#views", TabsLine).active = index
        self.query_one(f"#{self.views[index]}").focus()
        self.fill()
