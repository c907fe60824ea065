"""What every screen of the dashboard has: header, tabs, lines for typing, footer, actions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple, cast

from textual.app import ComposeResult
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Static

from dstack_api_client.feed.feed import ConnectionState
from dstack_api_client.model.fleet import Fleet, Instance
from dstack_api_client.model.replica import ReplicaKey
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.whatif import places_of
from dstack_fleets_tui.actions import actions
from dstack_fleets_tui.actions.commands import CommandError, complete, parse
from dstack_fleets_tui.host.host import Host
from dstack_fleets_tui.host.trail import Place
from dstack_fleets_tui.names.finding import NAMES
from dstack_fleets_tui.names.selection import NoSuchNameError
from dstack_fleets_tui.screens.parts.asking import PickScreen
from dstack_fleets_tui.tables import problems
from dstack_fleets_tui.tables.looks import Looks
from dstack_fleets_tui.words import words
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal
from dstack_widgets.inputs.command_line import CommandLine, FilterLine
from dstack_widgets.screen.lean_screen import LeanScreen
from dstack_widgets.screen.status_header import KeysFooter, StatusHeader, Tab, TabsLine
from dstack_widgets.table.cells import plain_text
from dstack_widgets.table.live_table import LiveTable

#: The lists, by the key that goes there; each is an action, and a mode of the app.
TABS = {
    actions.FLEETS: Tab("1", "Fleets"),
    actions.SERVICES: Tab("2", "Services"),
    actions.PROBLEMS: Tab("3", "Problems"),
    actions.EVENTS: Tab("4", "Events"),
}


def said_content(app: Host) -> Content | None:
    """The message that stands now, as it is drawn; None without one."""
    said = app.said.current
    if said is None:
        return None
    mark = f"{app.glyphs.warning} " if said.warning else ""
    content = literal(f"{mark}{said.message}", style_of("warn" if said.warning else "accent"))
    waiting = app.said.waiting
    return content + literal(f"  +{waiting} more", style_of("dim")) if waiting else content


class _Summary(NamedTuple):
    """What the line above the footer says while there is no message.

    Attributes:
        text: One line on what is under the cursor.
        failure: Why what only this screen reads can't be read.
        whole: Whether the text may take several lines.
    """

    text: str = ""
    failure: str = ""
    whole: bool = False


class LiveScreen(LeanScreen[None]):
    """A screen over the snapshot.

    A subclass names itself as the registry of actions does (`name_of_screen`), composes its own
    part in `body` and fills it in `fill`, which runs whenever the snapshot changed and when the
    screen comes to the front.
    """

    name_of_screen: ClassVar[str]

    CSS_PATH = Path(__file__).with_name("base.tcss")

    _summary = _Summary()
    _said_width, _said_lines = 0, 1
    """Cells that the line above the footer was made for, and the lines that it takes."""

    @property
    def fleets_app(self) -> Host:
        """The app, typed."""
        return cast("Host", self.app)

    @property
    def looks(self) -> Looks:
        """What cells are made with now."""
        return Looks(self.fleets_app.server_now(), self.fleets_app.glyphs)

    @property
    def snapshot(self) -> Snapshot | None:
        """The latest snapshot."""
        return self.fleets_app.snapshot

    def compose(self) -> ComposeResult:
        """Lays out the frame around `body`."""
        glyphs = self.fleets_app.glyphs
        yield StatusHeader(glyphs=glyphs)
        yield TabsLine(self._lists(), self._list_key(), glyphs=glyphs)
        yield from self.body()
        yield Static(Content(), id="summary", markup=False)
        yield FilterLine()
        yield CommandLine(self.complete, history=self.fleets_app.typed, glyphs=glyphs)
        yield KeysFooter(self.footer_keys())

    def footer_keys(self) -> list[tuple[str, str]]:
        """The keys that work now with what they do: those of what has the focus come first."""
        app = self.fleets_app
        found = actions.footer(self.name_of_screen, ascii_only=app.ascii, writes=not app.read_only)
        hints = getattr(self.focused, "hints", ())
        own = [
            ("".join(actions.key_name(key, ascii_only=app.ascii) for key in keys), title)
            for keys, title in hints
        ]
        return [*own, *(each for each in found if each[0] not in dict(own))]

    def show_keys(self) -> None:
        """Shows the keys that work now."""
        if self.is_laid_out:
            self.query_one(KeysFooter).show(self.footer_keys())

    def on_descendant_focus(self) -> None:
        """Shows the keys of what has the focus now."""
        self.show_keys()

    def _lists(self) -> list[Tab]:
        """The tabs; that of the problems says how many there are."""
        found = self.fleets_app.problems
        badge, style = words.problems(found), problems.loudest(found)
        return [
            tab._replace(badge=badge, style=style) if mode == actions.PROBLEMS else tab
            for mode, tab in TABS.items()
        ]

    def _list_key(self) -> str:
        """The key of the list that Esc leads back to."""
        return TABS[self.app.current_mode].key

    def body(self) -> Iterable[Widget]:
        """The screen's own widgets."""
        raise NotImplementedError

    def fill(self) -> None:
        """Shows the snapshot."""
        raise NotImplementedError

    def focus_on(self) -> None:
        """Tells the feed what is on screen."""
        raise NotImplementedError

    def service_at_hand(self) -> tuple[str, str] | None:
        """Name and id of the service that is open or under the cursor, if any."""
        return None

    def run_of_logs(self) -> str | None:
        """The id of the service, or other run, whose logs can be shown from here, if any."""
        service = self.service_at_hand()
        return service[1] if service is not None else None

    def fleet_at_hand(self) -> Fleet | None:
        """The fleet that is open or under the cursor, if any."""
        return None

    def instance_at_hand(self) -> Instance | None:
        """The instance under the cursor, where instances are shown."""
        return None

    def replica_at_hand(self) -> ReplicaKey | None:
        """The replica that is open or under the cursor, if any."""
        return None

    @property
    def open_work(self) -> str:
        """What of a change is open here, for whoever is about to quit."""
        return ""

    def reread(self) -> None:
        """Reads again what is read for this screen only, if anything is."""

    @property
    def table(self) -> LiveTable:
        """The table that filter and sort work on."""
        return self.query_one(LiveTable)

    def on_mount(self) -> None:
        """Shows what there is, without waiting for the server."""
        self.set_interval(1, self.show_state)

    def on_screen_resume(self) -> None:
        """Catches up with what changed while another screen was in front."""
        if self.is_active:
            self.focus_on()
            self.show()

    @property
    def place(self) -> Place | None:
        """Where one is, for going back and forth; None where there is no way back to."""
        known = self.name_of_screen in (*actions.LISTS, actions.RUNS)
        return Place(self.name_of_screen, self.app.current_mode) if known else None

    def came_here(self) -> None:
        """Has the app know that somebody sees this now."""
        if self.is_active and self.is_laid_out and (place := self.place) is not None:
            self.fleets_app.trail.visit(place)

    def show(self) -> None:
        """Shows the state of the connection and the snapshot."""
        if self.is_laid_out:
            self.show_state()
            self.query(TabsLine).first().show(self._lists(), self._list_key())
            self.fill()
            self.show_note()
            self.came_here()

    @property
    def is_laid_out(self) -> bool:
        """Whether its widgets are there.

        They come after the screen; when it goes, or the app, they go one by one before its last
        messages come.
        """
        # A screen that is going is not displayed any more.
        going = not (self.display and self.app.is_running)
        return self.is_mounted and bool(self.children) and not going

    @property
    def is_in_sight(self) -> bool:
        """Whether it is in front, or behind nothing but boxes."""
        for screen in reversed(self.app.screen_stack):
            if screen is self or not screen.is_modal:
                return screen is self
        return False

    def show_state(self) -> None:
        """Shows the state of the connection and the age of the data, behind a box too.

        Not behind a screen that hides it.
        """
        if self.is_in_sight and self.is_laid_out:
            self.query_one(StatusHeader).show(self.fleets_app.header_state())
            self.show_said()

    def show_summary(self, text: str, failure: str = "", *, whole: bool = False) -> None:
        """Shows one line below the screen's own part; why the data is stale counts more.

        Args:
            text: The line.
            whole: Whether it may take up to three lines.
            failure: Why what only this screen reads can't be read.
        """
        self._summary = _Summary(text, failure, whole)
        self.show_said()

    def show_said(self) -> None:
        """Shows the message that stands now, in the line above the footer, or that line itself.

        A message takes the place of the line, but never that of a failure.
        """
        if not self.is_laid_out:
            return
        app = self.fleets_app
        text, failure, whole = self._summary
        if app.health.state is ConnectionState.STALE:
            failure = app.failure
        message = said_content(app)
        parts = [message] if message is not None else []
        if failure:
            parts.append(literal(failure, style_of("warn")))
        elif message is None:
            parts.append(literal(text))
        content = Content("\n").join(parts)
        summary = self.query_one("#summary", Static)
        if content.is_same(cast("Content", summary.content)) and self._said_width == self._cells:
            return
        self._said_width = self._cells
        wraps = bool(failure) or message is not None or whole
        lines = len(content.wrap(self._cells)) if wraps else 1
        summary.set_class(lines > 1, "-whole")
        summary.update(content, layout=lines != self._said_lines)
        self._said_lines = lines

    @property
    def _cells(self) -> int:
        """Cells of the line above the footer."""
        return max(2, self.app.size.width - 2)

    def show_note(self) -> None:
        """Tells beside the tabs why the table does not show everything in its usual order."""
        self.notes.note(f" {self.fleets_app.glyphs.dot} ".join(self._notes()))

    @property
    def notes(self) -> TabsLine:
        """Where notes on the table stand."""
        return self.query(TabsLine).last()

    def _notes(self) -> Iterable[str]:
        table = self.table
        if table.filter_error:
            yield table.filter_error
        elif table.filter_text:
            yield f"/{table.filter_text}  {len(table.keys)} of {table.row_count}, esc shows all"
        if table.sort_column is not None and table.sort_column not in table.visible_columns:
            titles = {column.key: column.title for column in table.columns}
            yield f"sorted by {titles[table.sort_column]}"
        if self.snapshot is not None and not self.snapshot.complete:
            yield "reading on"

    # Actions ------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leaves keys to the line that is typed in."""
        return not (action == "do" and isinstance(self.focused, Input))

    def action_do(self, action_id: str, argument: str = "") -> None:
        """Runs an action of the registry by its id.

        A key may come before the widgets: it does then what it does once they are there.

        Args:
            action_id: `Action.id`; the screen or the app has a method `do_<id>`.
            argument: What was typed after the action's name on the command line.
        """
        if self.is_mounted:
            self._act(action_id, argument)
        else:
            self.call_later(self._act_late, action_id, argument)

    def _act_late(self, action_id: str, argument: str) -> None:
        """Does what was asked for before the widgets were there, unless the screen is left."""
        if self.is_active:
            self._act(action_id, argument)

    def _act(self, action_id: str, argument: str) -> None:
        owner = self if hasattr(self, f"do_{action_id}") else self.fleets_app
        try:
            getattr(owner, f"do_{action_id}")(argument)
        except (CommandError, NoSuchNameError) as error:
            self.fleets_app.warn(str(error))

    def arguments(self, action_id: str) -> Sequence[str]:
        """What may follow an action's name on the command line."""
        if action_id == "sort":
            return [column.key for column in self.table.columns]
        if action_id == "whatif" and self.snapshot is not None:
            return places_of(self.snapshot)
        if action_id == "project":
            return self.fleets_app.project_names
        if action_id in NAMES and self.snapshot is not None:
            return NAMES[action_id](self.snapshot)
        return list(self.fleets_app.demo.faults) if action_id == "fault" else ()

    def complete(self, text: str) -> Sequence[str]:
        """The commands that a typed text may become."""
        found = complete(text, self.name_of_screen, self.arguments, self.fleets_app.aliases)
        if self.fleets_app.demo.is_there:
            return found
        return [line for line in found if line.partition(" ")[0] not in actions.OF_THE_DEMO]

    def do_filter(self, argument: str) -> None:
        """Opens the filter line, or filters by the argument."""
        if argument:
            self.filter_by(argument)
        else:
            self.query_one(FilterLine).open(self.filter_text)

    @property
    def filter_text(self) -> str:
        """What is filtered by."""
        return self.table.filter_text

    def filter_by(self, text: str) -> None:
        """Shows only what a filter lets pass; all for an empty one."""
        self.table.filter_text = text
        self.show_note()

    def do_sort(self, argument: str) -> None:
        """Sorts by the named column, or by the next one of those on screen."""
        table = self.table
        keys = [column.key for column in table.columns]
        if argument:
            key = next((key for key in keys if key.startswith(argument.lower())), None)
            if key is None:
                raise CommandError(f"No column is named {argument}. Columns: {', '.join(keys)}.")
            table.sort_by(key)
        else:
            # The sort mark may take the room of its own column, so it is all of them in order.
            following = keys.index(table.sort_column) + 1 if table.sort_column else 0
            shown = table.visible_columns
            table.sort_by(next((key for key in keys[following:] if key in shown), None))
        self.show_note()

    def do_order(self, argument: str) -> None:
        """Offers the columns to sort by; the one it is sorted by is turned around."""
        table, app = self.table, self.fleets_app
        arrow = app.glyphs.descending if table.sort_reverse else app.glyphs.ascending
        offered = {
            column.title or column.key: (
                column.key,
                f"{arrow} turn it around" if column.key == table.sort_column else "",
            )
            for column in table.columns
            if not column.hidden
        }
        offered["none"] = ("", "the order in which they come")

        def picked(title: str | None) -> None:
            if title is None:
                return
            key = offered[title][0]
            table.sort_by(key or None, reverse=key == table.sort_column and not table.sort_reverse)
            self.show_note()

        names = [(title, about) for title, (_, about) in offered.items()]
        app.push_screen(PickScreen("Sort by", names, ascii_only=app.ascii), picked)

    def do_reverse(self, argument: str) -> None:
        """Turns the order around."""
        table = self.table
        if table.columns:
            column = table.sort_column or table.columns[0].key
            table.sort_by(column, reverse=not table.sort_reverse)
            self.show_note()

    def do_back(self, argument: str) -> None:
        """Takes the filter away, or goes back to the list."""
        if self.table.filter_text:
            self.table.filter_text = ""
            self.show_note()
        elif len(self.app.screen_stack) > 1:
            self.leave()

    def leave(self) -> None:
        """Goes back to the screen behind; nothing where this one is not in front any more."""
        if self.is_active:
            self.app.pop_screen()

    def do_copy(self, argument: str) -> None:
        """Copies the name under the cursor."""
        key = self.table.cursor_key
        if key is not None:
            names = (at for at, column in enumerate(self.table.columns) if column.names)
            self.app.copy_to_clipboard(plain_text(self.table.cells(key)[next(names, 0)]))

    def do_copy_row(self, argument: str) -> None:
        """Copies the row under the cursor."""
        text = self.text_of_row()
        if text:
            self.app.copy_to_clipboard(text)

    def text_of_row(self) -> str:
        """The row under the cursor as text, its cells parted by tabs."""
        key = self.table.cursor_key
        if key is None:
            return ""
        cells = zip(self.table.columns, self.table.cells(key), strict=True)
        return "\t".join(plain_text(cell) for column, cell in cells if not column.hidden)

    def do_command(self, argument: str) -> None:
        """Opens the command line."""
        self.query_one(CommandLine).open()

    def do_help(self, argument: str) -> None:
        """Shows the keys of this screen."""
        self.fleets_app.show_help(self.name_of_screen)

    # Messages -----------------------------------------------------------------------------

    def on_filter_line_changed(self, message: FilterLine.Changed) -> None:
        """Filters while typing."""
        message.stop()
        self.filter_by(message.text)

    def on_command_line_submitted(self, message: CommandLine.Submitted) -> None:
        """Runs a typed command."""
        message.stop()
        try:
            aliases = self.fleets_app.aliases
            action_id, argument = parse(message.text, self.name_of_screen, aliases)
        except CommandError as error:
            self.fleets_app.warn(str(error))
        else:
            self.action_do(action_id, argument)

    def on_tabs_line_tab_clicked(self, message: TabsLine.TabClicked) -> None:
        """Goes to the list that was clicked."""
        message.stop()
        self.action_do({tab.key: mode for mode, tab in TABS.items()}[message.key])

    def on_live_table_header_clicked(self, message: LiveTable.HeaderClicked) -> None:
        """Sorts by the column, or turns its order around."""
        message.stop()
        same = self.table.sort_column == message.column_key
        self.table.sort_by(message.column_key, reverse=same and not self.table.sort_reverse)
        self.show_note()
