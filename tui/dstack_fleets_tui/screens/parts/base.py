"""What every screen of the dashboard has: header, tabs, lines for typing, footer, actions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from textual.app import ComposeResult
from textual.widget import Widget
from textual.widgets import Input

from dstack_api_client.feed.update import ConnectionState
from dstack_api_client.model.fleet import Fleet, Instance
from dstack_api_client.model.replica import ReplicaKey
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.whatif import places_of
from dstack_fleets_tui.actions import actions, key_names, places
from dstack_fleets_tui.actions.commands import CommandError, complete, parse
from dstack_fleets_tui.host.trail import Place
from dstack_fleets_tui.live.session import Session
from dstack_fleets_tui.names.finding import NAMES
from dstack_fleets_tui.names.selection import NoSuchNameError
from dstack_fleets_tui.screens.parts.said_line import SaidLine, Summary
from dstack_fleets_tui.screens.parts.saving import FORMS, save_view
from dstack_fleets_tui.screens.parts.table_screen import TableScreen
from dstack_fleets_tui.tables import problems
from dstack_fleets_tui.tables.looks import Looks
from dstack_fleets_tui.words import words
from dstack_widgets.inputs.command_line import CommandLine, FilterLine
from dstack_widgets.screen.status_header import HeaderState, KeysFooter, StatusHeader, Tab, TabsLine

#: The titles of the lists; each is an action, and a mode of the app.
TABS = {
    places.FLEETS: "Fleets",
    places.SERVICES: "Services",
    places.PROBLEMS: "Problems",
    places.EVENTS: "Events",
}


class LiveScreen(TableScreen):
    """A screen over the snapshot.

    A subclass names itself as the registry of actions does (`name_of_screen`), composes its own
    part in `body` and fills it in `fill`, which runs whenever the snapshot changed and when the
    screen comes to the front.
    """

    CSS_PATH = Path(__file__).with_name("base.tcss")

    @property
    def looks(self) -> Looks:
        """What cells are made with now."""
        return Looks(self.fleets_app.server_now(), self.fleets_app.glyphs)

    @property
    def snapshot(self) -> Snapshot | None:
        """The latest snapshot."""
        return self.fleets_app.snapshot

    def shows(self, session: Session) -> bool:
        """Whether it shows what is read of a project."""
        return session is self.fleets_app.session

    @property
    def read_only(self) -> bool:
        """Whether nothing may be changed of what is at hand."""
        return self.fleets_app.read_only

    @property
    def failing(self) -> str:
        """Why what was read is old, if it is."""
        app = self.fleets_app
        stale = app.health.state is ConnectionState.STALE
        return app.failure if stale and not self.says_already(app.health.message or "") else ""

    def header_state(self) -> HeaderState:
        """What the header shows now."""
        return self.fleets_app.header_state()

    def __init__(self) -> None:
        super().__init__()
        self._summary = Summary()
        self._taken_up: set[Place] = set()

    def compose(self) -> ComposeResult:
        """Lays out the frame around `body`."""
        glyphs = self.fleets_app.glyphs
        yield StatusHeader(glyphs=glyphs)
        yield TabsLine(self._lists(), self._list_key(), glyphs=glyphs)
        yield from self.body()
        yield SaidLine(id="summary")
        yield FilterLine()
        yield CommandLine(self.complete, history=self.fleets_app.typed, glyphs=glyphs)
        yield KeysFooter(self._keys_in_front())

    def footer_keys(self) -> list[tuple[str, str]]:
        """The keys that work now with what they do: those of what has the focus come first."""
        app = self.fleets_app
        found = actions.footer(
            self.name_of_screen,
            ascii_only=app.ascii,
            writes=not self.read_only,
            replay=app.replay is not None,
            own=app.own_keys,
        )
        own = self._named(getattr(self.focused, "hints", ()))
        return [*own, *(each for each in found if each[0] not in dict(own))]

    def _keys_in_front(self) -> list[tuple[str, str]]:
        """The keys that work now: behind a box those of the box."""
        front = self.fleets_app.front
        if front is None or front is self or not front.is_modal:
            return self.footer_keys()
        return self._named(getattr(front, "hints", ()))

    def _named(self, hints: Iterable[tuple[Sequence[str], str]]) -> list[tuple[str, str]]:
        """Keys as people write them, with what they do."""
        ascii_only = self.fleets_app.ascii
        return [(key_names.key_names(keys, ascii_only=ascii_only), does) for keys, does in hints]

    def show_keys(self) -> None:
        """Shows the keys that work now."""
        if self.is_in_sight and self.is_laid_out:
            self.query_one(KeysFooter).show(self._keys_in_front())

    def on_descendant_focus(self) -> None:
        """Shows the keys of what has the focus now."""
        self.show_keys()

    def on_screen_suspend(self) -> None:
        """Shows the keys of the box that came before it."""
        self.show_keys()

    def _lists(self) -> list[Tab]:
        """The tabs; that of the problems says how many there are."""
        found = self.fleets_app.all_problems
        badge, style = words.problems(found), problems.loudest(found)
        tabs = {mode: Tab(self.key_of(mode), title) for mode, title in TABS.items()}
        tabs[places.PROBLEMS] = tabs[places.PROBLEMS]._replace(badge=badge, style=style)
        return [*tabs.values()]

    def _list_key(self) -> str:
        """The key of the list that Esc leads back to."""
        return self.key_of(self.app.current_mode)

    def key_of(self, action_id: str) -> str:
        """The first key of an action, as people write it."""
        app = self.fleets_app
        keys = app.keys_of(actions.BY_ID[action_id])
        return key_names.key_name(keys[0], ascii_only=app.ascii)

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

    def on_mount(self) -> None:
        """Shows what there is, without waiting for the server."""
        self.set_interval(1, self.show_state)

    def settings_changed(self) -> None:
        """Shows what other settings and keys have shown."""
        self.show_keys()
        self.show()

    def on_screen_resume(self) -> None:
        """Catches up with what changed while another screen was in front."""
        if self.is_active:
            self.focus_on()
            self.show_keys()
            self.show()

    @property
    def place(self) -> Place | None:
        """Where one is, for going back and forth; None where there is no way back to."""
        known = self.name_of_screen in (*places.LISTS, places.RUNS)
        return Place(self.name_of_screen, self.app.current_mode) if known else None

    def came_here(self) -> None:
        """Has the app know that somebody sees this now."""
        if self.is_active and self.is_laid_out and (place := self.place) is not None:
            self.fleets_app.trail.visit(place)
            self._take_up_filter(place)

    def _take_up_filter(self, place: Place) -> None:
        """Filters as the same list was when it was left, once for each list of the screen.

        Not where it was opened for one of its rows: that has to be seen.
        """
        here = replace(place, mode="")
        if here in self._taken_up:
            return
        self._taken_up.add(here)
        text = self.fleets_app.filters.get(here)
        if text and not self.filter_text and not self.wants_row:
            self.filter_by(text)

    @property
    def wants_row(self) -> bool:
        """Whether it was opened for one of its rows."""
        return False

    def show(self) -> None:
        """Shows the state of the connection and the snapshot."""
        if self.is_laid_out:
            self.show_state()
            self.query_one(TabsLine).show(self._lists(), self._list_key())
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
            self.query_one(StatusHeader).show(self.header_state())
            self.show_said()

    def show_summary(self, text: str, failure: str = "", *, whole: bool = False) -> None:
        """Shows one line below the screen's own part; why the data is stale counts more.

        Args:
            text: The line.
            whole: Whether it may take up to three lines.
            failure: Why what only this screen reads can't be read.
        """
        self._summary = Summary(text, failure, whole)
        self.show_said()

    def show_said(self) -> None:
        """Shows the message that stands now, in the line above the footer, or that line itself."""
        if self.is_laid_out:
            self.query_one(SaidLine).show(self._summary, self.failing)

    def says_already(self, message: str) -> bool:
        """Whether the screen's own part says why the data is stale."""
        return False

    def _notes(self) -> Iterable[str]:
        yield from super()._notes()
        if self.snapshot is not None and not self.snapshot.complete:
            yield "still reading"

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
        if action_id == "save":
            return [*FORMS]
        if action_id in NAMES and self.snapshot is not None:
            return NAMES[action_id](self.snapshot)
        return list(self.fleets_app.demo.faults) if action_id == "fault" else ()

    def complete(self, text: str) -> Sequence[str]:
        """The commands that a typed text may become."""
        found = complete(text, self.name_of_screen, self.arguments, self.fleets_app.aliases)
        hidden = {action.id for action in actions.ACTIONS if not self.fleets_app.has(action)}
        return [line for line in found if line.partition(" ")[0] not in hidden]

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
        if self.place is not None:
            self.fleets_app.filters[replace(self.place, mode="")] = text
        self.show_note()

    def do_back(self, argument: str) -> None:
        """Takes the filter away, or goes back to the list."""
        if self.table.filter_text:
            self.filter_by("")
        elif len(self.app.screen_stack) > 1:
            self.leave()

    def leave(self) -> None:
        """Goes back to the screen behind; nothing where this one is not in front any more."""
        if self.is_active:
            self.app.pop_screen()

    def do_save(self, argument: str) -> None:
        """Saves what is shown to a file."""
        save_view(self.fleets_app, self, self.title_of_view, argument)

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
        self.action_do({self.key_of(mode): mode for mode in TABS}[message.key])
