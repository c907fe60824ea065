"""What the screens of one fleet and one service share: a head and several views."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual.widget import Widget
from textual.widgets import ContentSwitcher

from dstack_fleets_tui.actions import BY_ID
from dstack_fleets_tui.commands import CommandError
from dstack_fleets_tui.formatting import NOTHING
from dstack_fleets_tui.screens.base import LiveScreen
from dstack_widgets.flow import Flow
from dstack_widgets.palette import style_of
from dstack_widgets.status_header import Tab, TabsLine
from dstack_widgets.text import literal


class DetailScreen(LiveScreen):
    """One thing of the snapshot, held by its key, with views to step through.

    Attributes:
        key: The id of the fleet or of the run. The thing may go while the screen is open.
    """

    views: ClassVar[Sequence[str]]
    """Ids of the views; each is an action in the registry too."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key
        self._title = ""

    def body(self) -> Iterable[Widget]:
        """A head, the names of the views, and the view itself."""
        yield Flow(id="head", glyphs=self.fleets_app.glyphs)
        yield TabsLine(self._tabs(), self._tabs()[0].key, id="views", glyphs=self.fleets_app.glyphs)
        with ContentSwitcher(id="switcher", initial=self.views[0]):
            yield from self.contents()

    def on_screen_resume(self) -> None:
        """Catches up, and has this one thing read now."""
        super().on_screen_resume()
        self.fleets_app.hurry()

    def contents(self) -> Iterable[Widget]:
        """A widget per view, its id the view's."""
        raise NotImplementedError

    @property
    def view(self) -> str:
        """The view in front."""
        return self.query_one(ContentSwitcher).current or self.views[0]

    def _tabs(self) -> list[Tab]:
        return [Tab(BY_ID[view].keys[0], BY_ID[view].title) for view in self.views]

    def arguments(self, action_id: str) -> Sequence[str]:
        """The views, besides what every screen knows."""
        return self.views if action_id == "view" else super().arguments(action_id)

    def action_do(self, action_id: str, argument: str = "") -> None:
        """Runs an action; the name of a view shows it."""
        if action_id in self.views:
            self.show_view(action_id)
        else:
            super().action_do(action_id, argument)

    def do_filter(self, argument: str) -> None:
        """Filters the table, in front."""
        self.show_view(self.views[0])
        super().do_filter(argument)

    def do_sort(self, argument: str) -> None:
        """Sorts the table, in front."""
        self.show_view(self.views[0])
        super().do_sort(argument)

    def do_reverse(self, argument: str) -> None:
        """Turns the order of the table around, in front."""
        self.show_view(self.views[0])
        super().do_reverse(argument)

    def do_view(self, argument: str) -> None:
        """Shows the next view, or the named one."""
        if argument:
            named = [view for view in self.views if view.startswith(argument.lower())]
            if not named:
                raise CommandError(f"No view is named {argument}. Views: {', '.join(self.views)}.")
            self.show_view(named[0])
        else:
            self._step(1)

    def do_view_back(self, argument: str) -> None:
        """Shows the previous view."""
        self._step(-1)

    def _step(self, by: int) -> None:
        self.show_view(self.views[(self.views.index(self.view) + by) % len(self.views)])

    def show_view(self, view: str) -> None:
        """Shows one of the views and gives it the keys."""
        self.query_one(ContentSwitcher).current = view
        self.query_one("#views", TabsLine).show(self._tabs(), BY_ID[view].keys[0])
        self.set_focus(self.query_one(f"#{view}"))
        self.fill()

    def on_tabs_line_tab_clicked(self, message: TabsLine.TabClicked) -> None:
        """Shows the view that was clicked, or goes to the list."""
        if message.tabs.id != "views":
            super().on_tabs_line_tab_clicked(message)
            return
        message.stop()
        keys = [tab.key for tab in self._tabs()]
        self.show_view(self.views[keys.index(message.key)])

    def show_head(self, name: str, facts: Sequence[tuple[str, str]]) -> None:
        """Shows what the thing is in a few dense lines.

        Args:
            name: The thing's name.
            facts: Labels and texts; those without a text are left out.
        """
        self._title = name
        parts = [literal(name, style_of("strong"))]
        for label, text in facts:
            if text and text != NOTHING:
                dim = literal(f"{label} " if label else "", style_of("dim"))
                parts.append(dim + literal(text))
        self.query_one("#head", Flow).show(parts)

    def show_missing(self, kind: str) -> None:
        """Says that the thing is not there: what was known of it is not true any more.

        Args:
            kind: What it is, such as `fleet`.
        """
        snapshot = self.snapshot
        if snapshot is None or not snapshot.complete:
            self.table.empty_text = f"Reading the {kind}."
        else:
            self.table.empty_text = f"This {kind} is gone from the server. Press Esc to go back."
            title = literal(self._title, style_of("strong"))
            self.query_one("#head", Flow).show([title, literal("gone", style_of("bad"))])
        self.table.set_rows({})
        self.show_summary("")
