"""What the screens of one fleet and one service share: a head and several views."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual.widget import Widget
from textual.widgets import ContentSwitcher

from dstack_api_client.model.fleet import Instance
from dstack_api_client.model.replica import Replica
from dstack_fleets_tui.actions.actions import BY_ID
from dstack_fleets_tui.actions.commands import CommandError
from dstack_fleets_tui.host.trail import Place
from dstack_fleets_tui.names.finding import Thing
from dstack_fleets_tui.screens.parts.base import LiveScreen
from dstack_fleets_tui.words.formatting import NOTHING
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal
from dstack_widgets.panels.facts import Panel, YamlView
from dstack_widgets.panels.flow import Flow
from dstack_widgets.screen.status_header import Tab, TabsLine
from dstack_widgets.table.live_table import LiveTable

#: Lines that the head takes at most; what is told first stays.
_HEAD = 2


class DetailScreen(LiveScreen):
    """One thing of the snapshot, held by its key, with views to step through.

    Args:
        key: The id of the fleet or of the run. The thing may go while the screen is open.
        view: The view to begin with; the first one without it.
        row: The key of the row of its table to put the cursor on.
    """

    views: ClassVar[Sequence[str]]
    """Ids of the views; each is an action in the registry too."""

    AUTO_FOCUS = ""
    """Textual would take the first table, be it of a view that is not in front."""

    def __init__(self, key: str, view: str = "", row: str | None = None) -> None:
        super().__init__()
        self.key = key
        self._first = view if view in self.views else self.views[0]
        self._row = row
        self._opened_for_row = row is not None
        self._title = ""

    def body(self) -> Iterable[Widget]:
        """A head, the names of the views, and the view itself."""
        glyphs = self.fleets_app.glyphs
        yield Flow(id="head", most=_HEAD, glyphs=glyphs)
        yield TabsLine(self._tabs(), self.key_of(self._first), id="views", glyphs=glyphs)
        with ContentSwitcher(id="switcher", initial=self._first):
            yield from self.contents()

    @property
    def notes(self) -> TabsLine:
        """Beside the views."""
        return self.query_one("#views", TabsLine)

    def on_screen_resume(self) -> None:
        """Has this one thing read now; Textual calls the base's handler too, which catches up."""
        if not (self.is_active and self.is_laid_out):
            return  # it was left at the same moment
        if self.focused is None:
            self.set_focus(self._focusable(self._first))
        self.fleets_app.hurry()

    def is_of(self, thing: Thing) -> bool:
        """Whether it is the screen of a thing."""
        return not isinstance(thing, (Instance, Replica)) and thing.id == self.key

    def contents(self) -> Iterable[Widget]:
        """A widget per view, its id the view's."""
        raise NotImplementedError

    @property
    def view(self) -> str:
        """The view in front."""
        return self.query_one(ContentSwitcher).current or self._first

    @property
    def shown_views(self) -> Sequence[str]:
        """Those of the views that this thing has."""
        return self.views

    @property
    def table(self) -> LiveTable:
        """The table in front; where the view in front has none, the first."""
        return self._table_of(self.view) or self.query(LiveTable).first()

    def _table_of(self, view: str) -> LiveTable | None:
        widget = self.query_one(f"#{view}")
        if isinstance(widget, LiveTable):
            return widget
        return next(iter(widget.query(LiveTable)), None)

    def _focusable(self, view: str) -> Widget:
        widget = self.query_one(f"#{view}")
        return widget if widget.can_focus else self._table_of(view) or widget

    def _tabs(self) -> list[Tab]:
        return [Tab(self.key_of(view), BY_ID[view].title) for view in self.shown_views]

    def arguments(self, action_id: str) -> Sequence[str]:
        """The views, besides what every screen knows."""
        return self.shown_views if action_id == "view" else super().arguments(action_id)

    def _act(self, action_id: str, argument: str) -> None:
        """Runs an action; the name of a view shows it."""
        if action_id in self.views and not argument:
            self.show_view(action_id)
        else:
            super()._act(action_id, argument)

    @property
    def _panel(self) -> Panel | None:
        """What is in front, where it is to be read and is no table."""
        widget = self.query_one(f"#{self.view}")
        return widget if isinstance(widget, Panel) else None

    @property
    def filter_text(self) -> str:
        """What the table is filtered by, or what is looked for in what is in front."""
        panel = self._panel
        return panel.search.pattern.text if panel is not None else super().filter_text

    def filter_by(self, text: str) -> None:
        """Filters the table; in what has no table, looks for a text."""
        panel = self._panel
        if panel is None:
            super().filter_by(text)
        else:
            panel.look_for(text)
            self.show_note()

    def do_next(self, argument: str) -> None:
        """Goes to the next line with what is looked for."""
        self._go_to_next(1)

    def do_previous(self, argument: str) -> None:
        """Goes to the line before with what is looked for."""
        self._go_to_next(-1)

    def _go_to_next(self, by: int) -> None:
        panel = self._panel
        if panel is None:
            self.notify(
                "A list shows only what / finds; the arrow keys go through it.", markup=False
            )
        elif not panel.search.pattern:
            self.notify("Type / and what to look for first.", markup=False)
        else:
            panel.go_to_next(by)
            self.show_note()

    def do_back(self, argument: str) -> None:
        """Ends a search in what is in front, or goes back as any screen does."""
        panel = self._panel
        if panel is not None and panel.search.pattern.text:
            self.filter_by("")
        else:
            super().do_back(argument)

    def _notes(self) -> Iterable[str]:
        panel = self._panel
        if panel is not None and panel.search.told:
            yield panel.search.told
        yield from super()._notes()

    def do_sort(self, argument: str) -> None:
        """Sorts the table, in front."""
        self._show_table()
        super().do_sort(argument)

    def do_order(self, argument: str) -> None:
        """Offers the columns of the table, in front."""
        self._show_table()
        super().do_order(argument)

    def do_reverse(self, argument: str) -> None:
        """Turns the order of the table around, in front."""
        self._show_table()
        super().do_reverse(argument)

    def text_of_row(self) -> str:
        """The row under the cursor; of the YAML, all of it."""
        widget = self.query_one(f"#{self.view}")
        if isinstance(widget, YamlView):
            return widget.text
        return super().text_of_row() if self._table_of(self.view) is not None else ""

    def _show_table(self) -> None:
        if self._table_of(self.view) is None:
            self.show_view(self.views[0])

    def do_view(self, argument: str) -> None:
        """Shows the next view, or the named one."""
        if argument:
            shown = self.shown_views
            named = [view for view in shown if view.startswith(argument.lower())]
            if not named:
                raise CommandError(f"No view is named {argument}. Views: {', '.join(shown)}.")
            self.show_view(named[0])
        else:
            self._step(1)

    def do_view_back(self, argument: str) -> None:
        """Shows the previous view."""
        self._step(-1)

    def _step(self, by: int) -> None:
        shown = self.shown_views
        at = shown.index(self.view) if self.view in shown else 0
        self.show_view(shown[(at + by) % len(shown)])

    def show_view(self, view: str) -> None:
        """Shows one of the views and gives it the keys."""
        self.query_one(ContentSwitcher).current = view
        self.show_tabs()
        self.set_focus(self._focusable(view))
        self.fill()
        self.show_note()
        self.came_here()

    @property
    def place(self) -> Place:
        """This view of it."""
        return Place(self.name_of_screen, self.app.current_mode, self.key, self.view)

    @property
    def title_of_view(self) -> str:
        """The thing, and which view of it."""
        return f"{self._title}: {BY_ID[self.view].title}"

    @property
    def name_of_table(self) -> str:
        """The view in front, or the first where that has no table."""
        return self.view if self._table_of(self.view) is not None else self.views[0]

    def show_tabs(self) -> None:
        """Shows which views there are; the same again cost nothing."""
        self.query_one("#views", TabsLine).show(self._tabs(), self.key_of(self.view))

    @property
    def wants_row(self) -> bool:
        """Whether it was opened for one of its rows."""
        return self._opened_for_row

    def find_row(self) -> None:
        """Puts the cursor on the row that the screen was opened for, once it is there."""
        if self._row is not None and self.view != self._first:
            self._row = None
        if self._row is not None and self.table.move_cursor_to(self._row):
            self._row = None

    def on_tabs_line_tab_clicked(self, message: TabsLine.TabClicked) -> None:
        """Shows the view that was clicked, or goes to the list."""
        if message.tabs.id != "views":
            super().on_tabs_line_tab_clicked(message)
            return
        message.stop()
        keys = [tab.key for tab in self._tabs()]
        self.show_view(self.shown_views[keys.index(message.key)])

    def show_head(self, name: str, facts: Sequence[tuple[str, str] | tuple[str, str, str]]) -> None:
        """Shows what the thing is in a few dense lines.

        Args:
            name: The thing's name.
            facts: Labels, texts, and their styles in the palette where they have one; those
                without a text are left out.
        """
        self._title = name
        parts = [literal(name, style_of("strong"))]
        for label, text, *style in facts:
            if text and text != NOTHING:
                dim = literal(f"{label} " if label else "", style_of("dim"))
                parts.append(dim + literal(text, style_of(style[0] if style else "")))
        self.query_one("#head", Flow).show(parts)

    def show_missing(self, kind: str) -> None:
        """Says that the thing is not there: what was known of it is not true any more.

        Args:
            kind: What it is, such as `fleet`.
        """
        snapshot = self.snapshot
        if snapshot is None or not snapshot.complete:
            self.show_nothing(f"Reading the {kind}.")
        else:
            self.show_nothing(f"This {kind} is gone from the server. Press Esc to go back.")
            title = literal(self._title, style_of("strong"))
            self.query_one("#head", Flow).show([title, literal("gone", style_of("bad"))])
        self.show_summary("")

    def show_nothing(self, text: str) -> None:
        """Shows no rows, and why."""
        self.table.empty_text = text
        self.table.set_rows({})
