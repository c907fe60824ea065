"""The dashboard: one app over one feed."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from rich.text import Text
from textual import events, work
from textual.app import SystemCommand
from textual.binding import Binding
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.markup import escape
from textual.message import Message
from textual.screen import Screen
from textual.scrollbar import ScrollBar, ScrollBarRender
from textual.theme import Theme
from textual.widgets import Input

from dstack_api_client.clock import difference, utc_now
from dstack_api_client.connect.connection import ConfigError, Connection
from dstack_api_client.edits.perform.cordoning import CordonAction
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.feed.feed import ConnectionState, Health, Update
from dstack_api_client.model.fleet import Fleet
from dstack_api_client.model.replica import ReplicaKey
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Problem
from dstack_api_client.text import one_line
from dstack_api_client.trends.trend import Kind, fleet_named, service_named
from dstack_api_client.trends.watch import TrendWatch
from dstack_fleets_tui.actions import actions
from dstack_fleets_tui.actions.commands import CommandError, wrong_aliases
from dstack_fleets_tui.app.going import Going
from dstack_fleets_tui.app.keys_in_turn import KeysInTurn
from dstack_fleets_tui.app.quitting import Quitting
from dstack_fleets_tui.app.switching import Switching
from dstack_fleets_tui.changes.cordons import CordonChanges
from dstack_fleets_tui.changes.fleet import FleetChanges
from dstack_fleets_tui.changes.service import Changing
from dstack_fleets_tui.changes.shells import Shells
from dstack_fleets_tui.host.host import Host
from dstack_fleets_tui.live.poller import Poller
from dstack_fleets_tui.live.source import Source, open_source
from dstack_fleets_tui.screens.card import CardScreen
from dstack_fleets_tui.screens.charts import ChartsScreen, named
from dstack_fleets_tui.screens.events import EventsScreen
from dstack_fleets_tui.screens.fleet import FleetScreen
from dstack_fleets_tui.screens.help import HelpScreen
from dstack_fleets_tui.screens.lists import FleetsScreen, ServicesScreen
from dstack_fleets_tui.screens.logs import LogsScreen
from dstack_fleets_tui.screens.messages import MessagesScreen
from dstack_fleets_tui.screens.parts import own_reads
from dstack_fleets_tui.screens.parts.base import LiveScreen
from dstack_fleets_tui.screens.parts.palette import Names, Palette
from dstack_fleets_tui.screens.parts.questions import Asking
from dstack_fleets_tui.screens.problems import ProblemsScreen
from dstack_fleets_tui.screens.replica import ReplicaScreen
from dstack_fleets_tui.screens.runs import RunsScreen
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_fleets_tui.screens.trouble import TroubleScreen
from dstack_fleets_tui.screens.whatif import ask_what_if
from dstack_fleets_tui.settings.projects import Projects
from dstack_fleets_tui.settings.settings import Settings
from dstack_fleets_tui.terminal.terminal import (
    LOOK_EVERY,
    clipboard_sequence,
    notification,
    terminal_is_gone,
)
from dstack_fleets_tui.terminal.terminal_driver import TerminalDriver
from dstack_fleets_tui.themes.showing import Themes
from dstack_fleets_tui.words import faults, words
from dstack_widgets.drawing.text import shorten
from dstack_widgets.screen.scroll_bars import AsciiScrollBars

#: States that polling on does not fix: the user has to.
_TROUBLE = frozenset(
    {ConnectionState.UNAUTHORISED, ConnectionState.NO_PROJECT, ConnectionState.UNSUPPORTED}
)

#: Cells of a copied text that are shown.
_COPIED = 60

#: Keys that a screen which asks does not hold back.
_ALWAYS = frozenset({"ctrl+c", "ctrl+q"})


def _spare_the_collector(*, again: bool) -> None:
    """Keeps the garbage collector from walking through a full load at every key press.

    Measured by `make bench`: with 10,000 rows the slowest key press takes less than half the time.
    A screen that was left is garbage that only a collection of everything finds: that comes often
    enough for it not to fill the memory.

    Args:
        again: Whether another load came before, of which much is gone.
    """
    if again:
        gc.unfreeze()
        gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 5)


class FleetsApp(Host):
    """The dashboard.

    Args:
        connection: Where to connect, or why that is not known.
        settings: The user's settings.
        again: Finds the connection again, after the user has fixed something.
        now: The clock.
        open_source: Opens what is read of a connection.
        terminal_is_gone: Tells when to leave.
        store: Where drafts, the way back and the audit log are kept; the user's without it.
        themes: The user's own.
        projects: How other projects are found; None where there is but one.

    Attributes:
        changing: Begins changes.
        fleet_changes: Begins those of fleets.
        cordon_changes: Takes fleets and instances out of service.
    """

    TITLE = "dstack-fleets-tui"
    CSS_PATH = "app.tcss"
    MODES = {
        actions.FLEETS: FleetsScreen,
        actions.SERVICES: ServicesScreen,
        actions.PROBLEMS: ProblemsScreen,
        actions.EVENTS: EventsScreen,
    }
    DEFAULT_MODE = actions.FLEETS
    COMMANDS = Host.COMMANDS | {Names}
    # Of an app's bindings, only those of priority count over a box.
    BINDINGS = [Binding("ctrl+c", "copy_or_quit", show=False, priority=True, id="copy_or_quit")]

    @dataclass
    class Read(Message):
        """A poll brought something, be it only a new state of the connection."""

        update: Update
        connection: Connection
        """On which it was read."""

    def __init__(
        self,
        connection: Connection | ConfigError,
        settings: Settings,
        *,
        again: Callable[[], Connection | ConfigError] | None = None,
        now: Callable[[], datetime] = utc_now,
        open_source: Callable[[Connection], AbstractAsyncContextManager[Source]] = open_source,
        terminal_is_gone: Callable[[], bool] = terminal_is_gone,
        store: Store | None = None,
        themes: Sequence[Theme] = (),
        projects: Projects | None = None,
    ) -> None:
        super().__init__(connection, settings, now=now)
        for theme in themes:
            self.register_theme(theme)
        self._again = again
        self._open_source = open_source
        self._terminal_is_gone = terminal_is_gone
        self._where: tuple[str, str] | None = None
        self._trouble: TroubleScreen | None = None
        self._loaded = False
        self._told = ""
        # The palette draws what ASCII has not; the command line does the same.
        self.use_command_palette = not settings.ascii
        self.set_class(self.ascii, "-ascii")
        # Every bar asks the class, so one place decides for all of them.
        ScrollBar.renderer = AsciiScrollBars if self.ascii else ScrollBarRender
        self._meant_for: WeakKeyDictionary[events.Key, Screen[Any]] = WeakKeyDictionary()
        self.changing: Changing = Changing(self, store or Store.default())
        self.fleet_changes: FleetChanges = FleetChanges(self, self.changing)
        self.cordon_changes: CordonChanges = CordonChanges(self, self.changing)
        self._quitting = Quitting(self, self.changing)
        self._going = Going(self)
        self._projects = projects
        self._switching = Switching(self, projects, self._quitting.in_the_way, self._connect_to)
        self._shells = Shells(self, self.changing)
        self._keys = KeysInTurn(self, self._hand_on)
        self._clocks_told = False
        self._ended_by: int | None = None

    # Life ---------------------------------------------------------------------------------

    def on_mount(self) -> None:
        """Starts to read; the first paint does not wait for it."""
        self.set_interval(LOOK_EVERY, self._leave_with_terminal)
        self.screen_change_signal.subscribe(self, self._keys.screen_changed, immediate=True)
        theme = self._settings.theme
        if theme in self.available_themes:
            self.theme = theme
        elif theme is not None:
            names = ", ".join(sorted(self.available_themes))
            self.warn(f"There is no theme {one_line(theme)}. Themes: {names}.")
        for notice in (*self._settings.notices, *wrong_aliases(self._settings.aliases)):
            self.warn(notice)
        self._connect()
        if self.demo.is_there and not self.views.now.card:
            # Nothing else comes up by itself over it.
            self.lookout.somebody_is_there = True
            self.call_after_refresh(self._show_card)

    def _show_card(self) -> None:
        def put_away(_: None) -> None:
            self.views.change(card=True)

        self.push_screen(CardScreen(ascii_only=self.ascii), put_away)

    def _connect(self) -> None:
        if isinstance(self._connection, ConfigError):
            self._show_trouble(self._connection.message, self._connection.hint)
            return
        self._end_trouble()
        for warning in self._connection.warnings:
            self.warn(warning)
        where = (self._connection.url, self._connection.project)
        if where != self._where:
            # What was read elsewhere must not stand under this name.
            if self._where is not None:
                self.trends = TrendWatch()
            self._where = where
            self.source = None
            self.snapshot = None
            self.lookout.begin()
            self.trail.forget()
            self._clocks_told = False
            self.health = Health(ConnectionState.CONNECTING, self.now())
        self.read(self._connection)

    def _connect_to(self, connection: Connection) -> None:
        """Goes to another project: what is open of this one is left."""
        projects, here = self._projects, self.current_mode
        if projects is not None:
            self._settings = projects.guarded(self._settings, connection)
            self._again = lambda: projects.connect(connection.project)
        for mode in [*self._screen_stacks]:
            if mode in self.MODES:
                self.switch_mode(mode)
                for _ in self.screen_stack[1:]:
                    self.pop_screen()
        self.switch_mode(here)
        self._connection = connection
        self._connect()
        self.screen.refresh()

    @work(exclusive=True, group="read")
    async def read(self, connection: Connection) -> None:
        """Polls the server until the app ends or connects again."""
        try:
            await self._read_from(connection)
        except ConfigError as error:  # such as a CA file that is gone
            self._show_trouble(error.message, error.hint)

    async def _read_from(self, connection: Connection) -> None:
        async with self._open_source(connection) as source:
            self.source = source
            self._poller = Poller(
                source.feed,
                lambda update: self.post_message(self.Read(update, connection)),
                interval=self._settings.interval,
                on_fault=self.fault,
            )
            self._poller.pause(self.paused)
            if isinstance(self.screen, LiveScreen):
                self.screen.focus_on()
            looking = partial(self.changing.look_up, source, connection.url)
            self.run_worker(looking, group=own_reads.GROUP)  # type: ignore[arg-type]
            try:
                await self._poller.run()
            finally:
                for worker in list(self.workers):
                    if worker.group == own_reads.GROUP:
                        worker.cancel()
                await self.changing.finish(soon=self._ended_by is not None)

    def _fatal_error(self) -> None:
        """Ends the app after a fault, with a line: Textual's own traceback has values in it."""
        error = sys.exc_info()[1] or self._exception
        if error is not None:
            self.panic(Text(faults.line_of(error)))

    def end(self, number: int) -> None:
        """Ends the app because a signal says so, the terminal restored."""
        if self._ended_by is None:
            self._ended_by = number
            self.changing.texts.keep_all()
            self.exit(128 + number)

    def end_soon(self) -> None:
        """Has the end wait but a moment for a terminal that takes no text."""
        if isinstance(self._driver, TerminalDriver):
            self._driver.end_soon()

    def get_driver_class(self) -> type[Driver]:
        """The driver of a terminal is ours; any other is as the environment says."""
        chosen = super().get_driver_class()
        return TerminalDriver if chosen is LinuxDriver else chosen

    def _leave_with_terminal(self) -> None:
        if self._terminal_is_gone():
            self.changing.texts.keep_all()
            self.exit(1)

    # Data ---------------------------------------------------------------------------------

    def on_fleets_app_read(self, message: Read) -> None:
        """Takes over what a poll brought, and has the screen in front show it."""
        if message.connection is not self._connection or not self.screen_stack:
            return  # of a connection that was given up meanwhile, or while the app ends
        update = message.update
        self.health = update.health
        if update.snapshot is not None:
            had_all = self.snapshot is not None and self.snapshot.complete
            became_complete = update.snapshot.complete and not had_all
            if became_complete:
                self.lookout.all_was_read()
                _spare_the_collector(again=self._loaded)
                self._loaded = True
            before, self.snapshot = self.snapshot, update.snapshot
            self.trends.look(update.snapshot, update.difference, self.events_read)
            new = self.lookout.look(update, before, self.server_now(), self.events_read)
            self._alert(new)
            self._show_title()
            self._notice_unreadable(update.snapshot)
            self._tell_of_clocks()
        if update.health.state in _TROUBLE:
            self._show_trouble(update.health.message or "", update.health.hint or "")
            return
        self._end_trouble()
        if self.lookout.wants_to_the_front(self.snapshot):
            self.switch_mode(actions.PROBLEMS)
        if isinstance(self.screen, LiveScreen):
            self.screen.show()
            self.screen.focus_on()

    def _alert(self, new: Sequence[Problem]) -> None:
        """Has the terminal tell of critical problems that are new."""
        if not new or self._settings.alert == "off":
            return
        self.bell()
        if self._settings.alert == "notify" and self._driver is not None:
            more = f" (and {len(new) - 1} more)" if len(new) > 1 else ""
            text = one_line(f"{self.project}: {new[0].subject} {new[0].text}{more}")
            self._driver.write(notification(text, os.environ))

    def _show_title(self) -> None:
        """Shows how many problems there are where terminals are told apart."""
        if isinstance(self._driver, TerminalDriver):
            self._driver.show_title(f"{words.problems(self.problems)} {self.project}".strip())

    def _notice_unreadable(self, snapshot: Snapshot) -> None:
        """Names records that can't be read, and why the placement is not, each once."""
        failure = snapshot.placement_failure
        placement = [f"The placement add-on could not be read. {failure}"] if failure else []
        messages = [*placement, *snapshot.unreadable]
        new = [message for message in messages if self._is_news(message)]
        if new:
            more = f" {len(new) - 1} more can't be read." if len(new) > 1 else ""
            self.warn(f"{new[0]}{more} All else is shown.")

    def _tell_of_clocks(self) -> None:
        """Says once that this machine's clock is not the server's."""
        told = difference(self.snapshot.clock_ahead) if self.snapshot is not None else ""
        if told and not self._clocks_told:
            self.warn(told)
        self._clocks_told = bool(told)

    async def on_event(self, event: events.Event) -> None:
        """Notices that somebody is at the keys: from then on no screen comes up by itself.

        A key goes to the screen that was in front when it was pressed, or nowhere.
        """
        if isinstance(event, (events.Key, events.Paste, events.MouseDown, events.MouseScrollDown)):
            self.lookout.somebody_is_there = True
        if isinstance(event, (events.Key, events.Paste)) and not event.is_forwarded:
            await self._keys.take(event)
        elif isinstance(event, (events.Key, events.Paste, events.MouseDown)) and not self._counts(
            event
        ):
            event.stop()
        else:
            await super().on_event(event)

    async def _hand_on(self, event: events.Key | events.Paste) -> None:
        """Gives a key to the screen in front, if it is meant for it."""
        if self._counts(event):
            await super().on_event(event)
        else:
            event.stop()

    async def on_keys_in_turn_passed(self, message: KeysInTurn.Passed) -> None:
        """Goes on with the keys that wait."""
        await self._keys.passed(message)

    def _counts(self, event: events.Key | events.Paste | events.MouseDown) -> bool:
        """Whether what was pressed is meant for the screen in front."""
        screen = self.front
        if isinstance(event, events.Key) and event.key in _ALWAYS:
            return True
        if event.is_forwarded:
            # A widget had it and left it to the bindings, which are those of the screen in front.
            meant = self._meant_for.get(event) if isinstance(event, events.Key) else None
            return meant is None or meant is screen
        key = event.key if isinstance(event, events.Key) else ""
        if event.time < self._answered_at and self._answered_by in ("", key):
            return False
        if isinstance(screen, Asking) and not screen.takes(event.time):
            return False
        self.touches += 1
        self._handed_on = key
        if isinstance(event, events.Key) and screen is not None:
            self._meant_for[event] = screen
        return True

    def on_resize(self) -> None:
        """Paints everything again.

        A terminal that is made smaller and as large again has lost what was cut away, and Textual
        finds no change.
        """
        if self.front is not None:
            self.front.refresh()

    def open_fleet(self, fleet_id: str, view: str = "", row: str | None = None) -> None:
        """Opens a fleet over what is in front.

        Args:
            fleet_id: The fleet.
            view: The view to begin with.
            row: The key of the row to put the cursor on.
        """
        self.push_screen(FleetScreen(fleet_id, view, row))

    def open_service(self, run_id: str, view: str = "", row: str | None = None) -> None:
        """Opens a service over what is in front; arguments as for `open_fleet`."""
        self.push_screen(ServiceScreen(run_id, view, row))

    def open_replica(self, key: ReplicaKey, view: str = "") -> None:
        """Opens a replica over what is in front.

        Args:
            key: The replica.
            view: The view to begin with.
        """
        self.push_screen(ReplicaScreen(key, view))

    def open_logs(self, run_id: str, only: str = "") -> None:
        """Opens the logs of a service over what is in front.

        Args:
            run_id: The service.
            only: The name of the replica or group to begin with; all for none.
        """
        self.push_screen(LogsScreen(run_id, only))

    # Trouble that the user has to fix -----------------------------------------------------

    def _show_trouble(self, message: str, hint: str) -> None:
        if self._trouble is not None:
            self._trouble.show(message, hint)
            return
        if self._is_worked_on:
            # It comes up when that is left; until then a notice has to do.
            if self._told != message:
                self.warn(f"{message} {hint}")
            self._told = message
            return
        if isinstance(self.screen, LiveScreen):
            self.screen.show_state()  # for the last time: it is behind from now on
        self._trouble = TroubleScreen(message, hint, ascii_only=self.ascii)
        self.push_screen(self._trouble)

    @property
    def _is_worked_on(self) -> bool:
        """Whether something is typed or read in front that nothing may open over by itself."""
        screen = self.front
        at_rest = isinstance(screen, LiveScreen) and screen.name_of_screen in actions.TABLES
        return not at_rest or isinstance(self.focused, Input)

    def _end_trouble(self) -> None:
        self._told = ""
        trouble, self._trouble = self._trouble, None
        if trouble is not None:
            # The palette before it offers what can be done there.
            for screen in self.screen_stack:
                if isinstance(screen, Palette):
                    screen.dismiss()
            trouble.dismiss()

    # Actions ------------------------------------------------------------------------------

    def do_fleets(self, argument: str) -> None:
        """Shows the fleets, or the named one."""
        if argument:
            self._going.fleet(argument)
        else:
            self._show_list(actions.FLEETS)

    def do_services(self, argument: str) -> None:
        """Shows the services, or the named one."""
        if argument:
            self._going.service(argument)
        else:
            self._show_list(actions.SERVICES)

    def do_replica(self, argument: str) -> None:
        """Opens the named replica."""
        self._going.replica(argument)

    def do_earlier(self, argument: str) -> None:
        """Goes to the view that one came from."""
        self._going.back_or_forth(-1)

    def do_later(self, argument: str) -> None:
        """Goes forward again."""
        self._going.back_or_forth(1)

    def do_last(self, argument: str) -> None:
        """Goes to the last view."""
        self._going.last()

    def do_project(self, argument: str) -> None:
        """Switches to the named project, or lets one be picked."""
        self._switching.to(argument)

    @property
    def project_names(self) -> Sequence[str]:
        """The projects that one can switch to."""
        return self._switching.names

    def do_shell(self, argument: str) -> None:
        """Opens a shell in the named replica, or in the one at hand."""
        self._shells.open(self._going.replica_meant(argument))

    def do_copy_attach(self, argument: str) -> None:
        """Copies the command that attaches to the named replica, or to the one at hand."""
        self._shells.copy(self._going.replica_meant(argument))

    def do_open(self, argument: str) -> None:
        """Opens what is named."""
        self._going.thing(argument)

    def open_named(self, name: str, kind: str = "") -> None:
        """Opens whatever has a name over what is in front."""
        ways = {"fleet": self._going.fleet, "service": self._going.service}
        ways.get(kind, self._going.thing)(name)

    def do_problems(self, argument: str) -> None:
        """Shows what is wrong."""
        self._show_list(actions.PROBLEMS)

    def do_events(self, argument: str) -> None:
        """Shows what happened, in the project or to what is named."""
        if argument:
            self._going.events(argument)
        else:
            self._show_list(actions.EVENTS)

    def do_runs(self, argument: str) -> None:
        """Shows all runs over what is in front, once."""
        if not isinstance(self.screen, RunsScreen):
            self.push_screen(RunsScreen())

    def _show_list(self, mode: str) -> None:
        """Goes to a list where it was left; once there, leaves all that is open over it."""
        if mode != self.current_mode:
            self.switch_mode(mode)
            return
        for _ in self.screen_stack[1:]:
            self.pop_screen()

    def copy_to_clipboard(self, text: str) -> None:
        """Puts a text on the terminal's clipboard; one that no terminal takes, into a file."""
        self._clipboard = text
        sequence = clipboard_sequence(text, os.environ)
        if sequence is not None and self._driver is not None:
            self._driver.write(sequence)
            first = shorten(one_line(text), _COPIED, self.glyphs.ellipsis)
            self.notify(f"Copied: {first}", markup=False)
            return
        path = Path(f"copied-{utc_now().astimezone():%Y%m%d-%H%M%S}.txt").resolve()
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            self.warn(f"{path} can't be written: {error.strerror}. Nothing was copied.")
        else:
            text = f"This terminal has no clipboard for it: the text is in {path}."
            self.notify(text, markup=False)

    def do_edit(self, argument: str) -> None:
        """Edits the service or the fleet that is open or under the cursor."""
        fleet = self._fleet_at_hand()
        if fleet is not None:
            self.fleet_changes.edit(fleet)
        service = self._service_at_hand()
        if service is not None:
            self.changing.edit(*service)

    def do_logs(self, argument: str) -> None:
        """Shows the logs of what is named, or of the service that is open or under the cursor."""
        screen = self.screen
        if argument:
            self._going.logs(argument)
            return
        run_id = screen.run_of_logs() if isinstance(screen, LiveScreen) else None
        if run_id is not None:
            self.open_logs(run_id)
        else:
            self.notify("There is no service here whose logs could be shown.", markup=False)

    def do_undo(self, argument: str) -> None:
        """Plans the way back of the service or the fleet that is open."""
        fleet = self._fleet_at_hand()
        if fleet is not None:
            self.fleet_changes.undo(fleet)
        service = self._service_at_hand()
        if service is not None:
            self.changing.undo(service[0])

    def do_rebalance(self, argument: str) -> None:
        """Moves replicas of the service that is open."""
        service = self._service_at_hand()
        if service is not None:
            self.changing.rebalance(service[0])

    def do_new_fleet(self, argument: str) -> None:
        """Makes a fleet of a template or of a file."""
        self.fleet_changes.new(argument)

    def do_delete(self, argument: str) -> None:
        """Deletes the fleet that is open or under the cursor."""
        fleet = self._fleet_at_hand()
        if fleet is not None:
            self.fleet_changes.delete(fleet)

    def do_cordon(self, argument: str) -> None:
        """Takes what is open or under the cursor out of service."""
        self._change_service("cordon", argument)

    def do_drain(self, argument: str) -> None:
        """Takes it out of service, and has replicas move away."""
        self._change_service("drain", argument)

    def do_uncordon(self, argument: str) -> None:
        """Puts it back in service."""
        self._change_service("uncordon", "")

    def do_whatif(self, argument: str) -> None:
        """Shows what would be left without what is open or under the cursor."""
        if isinstance(self.screen, LiveScreen):
            ask_what_if(self.screen, argument)

    def do_charts(self, argument: str) -> None:
        """Shows charts of what is open or under the cursor, or of what is named."""
        fleet, service = self._fleet_at_hand(), self._service_at_hand()
        if argument:
            first = Kind.SERVICE if fleet is None else Kind.FLEET
            self.push_screen(ChartsScreen(named(argument, self.snapshot, first)))
        elif fleet is not None:
            self.push_screen(ChartsScreen(fleet_named(fleet.name)))
        elif service is not None:
            self.push_screen(ChartsScreen(service_named(service[0])))
        else:
            self.notify("There is no service and no fleet here to show charts of.", markup=False)

    def _change_service(self, action: CordonAction, reason: str) -> None:
        fleet = self._fleet_at_hand()
        if fleet is not None and isinstance(self.screen, LiveScreen):
            self.cordon_changes.change(action, fleet, self.screen.instance_at_hand(), reason)

    def _fleet_at_hand(self) -> Fleet | None:
        return self.screen.fleet_at_hand() if isinstance(self.screen, LiveScreen) else None

    def _service_at_hand(self) -> tuple[str, str] | None:
        return self.screen.service_at_hand() if isinstance(self.screen, LiveScreen) else None

    def do_refresh(self, argument: str) -> None:
        """Reads everything again; where nothing was read yet, looks for the connection again."""
        if self._trouble is not None or self.snapshot is None:
            if self._again is not None:
                self._connection = self._again()
            self._connect()
        elif self._poller is not None:
            self._poller.refresh()
            # One that is just opening reads by itself.
            if isinstance(self.screen, LiveScreen) and self.screen.is_laid_out:
                self.screen.reread()

    def do_pause(self, argument: str) -> None:
        """Stops reading, or goes on."""
        self.paused = not self.paused
        if self._poller is not None:
            self._poller.pause(self.paused)
        if isinstance(self.screen, LiveScreen):
            self.screen.show_state()

    def do_quit(self, argument: str) -> None:
        """Leaves; asks where an edit or a change that is followed is open."""
        self._quitting.quit()

    async def action_quit(self) -> None:
        """Leaves at Ctrl+Q by the same rules as anywhere."""
        self._quitting.quit()

    def action_copy_or_quit(self) -> None:
        """Copies what is selected at Ctrl+C; without that, asks whether to quit."""
        selected = self.screen.get_selected_text() or getattr(self.focused, "selected_text", "")
        if selected:
            self.copy_to_clipboard(selected)
        else:
            self._quitting.quit(ask=True)

    def show_help(self, screen: str) -> None:
        """Shows the keys of a screen."""
        self.push_screen(HelpScreen(screen, self.offered(screen), ascii_only=self.ascii))

    def do_fault(self, argument: str) -> None:
        """Has something go wrong in the demo."""
        try:
            self.notify(self.demo.set_fault(argument), markup=False)
        except CommandError as error:
            self.warn(str(error))

    def do_messages(self, argument: str) -> None:
        """Shows what was said."""
        self.push_screen(MessagesScreen([*self.said.log], ascii_only=self.ascii))

    def action_command_palette(self) -> None:
        """Opens the palette."""
        if self.use_command_palette and not isinstance(self.screen, Palette):
            self.push_screen(Palette())

    def search_themes(self) -> None:
        """Offers the themes."""
        self.push_screen(Palette(providers=[Themes], placeholder="Search for themes…"))

    def chose_theme(self, name: str) -> None:
        """Shows a theme, and the next time too."""
        self.theme = name
        self.views.change(theme=name)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Offers the actions of the screen in front in the palette, and the choice of a theme.

        What was chosen is done only if the screen is in front again.
        """

        def there(command: Callable[[], object]) -> Callable[[], object]:
            return lambda: command() if screen.is_active else None

        if isinstance(screen, LiveScreen):
            for action in self.offered(screen.name_of_screen):
                if not action.on(screen.name_of_screen):
                    continue
                keys = " ".join(map(actions.key_name, action.keys))
                yield SystemCommand(
                    action.title.capitalize(),
                    escape(f"{keys}  {action.help}" if keys else action.help),
                    there(partial(screen.action_do, action.id)),
                )
        yield SystemCommand("Theme", "Choose another theme.", there(self.action_change_theme))
