"""The dashboard: one app over one feed.

Screens and what reads are imported where they are needed: the first frame needs none of them.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from textual.binding import Binding
from textual.message import Message
from textual.scrollbar import ScrollBar, ScrollBarRender

from dstack_api_client.clock import difference, utc_now
from dstack_api_client.connect.connection import ConfigError, Connection, refuse_shared_token
from dstack_api_client.feed.update import ConnectionState, Health, Update
from dstack_api_client.text import one_line
from dstack_fleets_tui.actions import places
from dstack_fleets_tui.actions.commands import CommandError, wrong_aliases
from dstack_fleets_tui.app.keyed import KeyedApp
from dstack_fleets_tui.live.session import Session
from dstack_fleets_tui.settings.own_keys import USUAL_KEYS, OwnKeys
from dstack_fleets_tui.terminal.terminal import LOOK_EVERY, notification, terminal_is_gone
from dstack_fleets_tui.words import faults
from dstack_widgets.screen.scroll_bars import AsciiScrollBars

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from textual.command import Provider
    from textual.driver import Driver
    from textual.screen import Screen
    from textual.theme import Theme
    from textual.worker import Worker

    from dstack_api_client.edits.store.keeping import Store
    from dstack_api_client.model.snapshot import Snapshot
    from dstack_api_client.problems.model import Problem
    from dstack_fleets_tui.app.reloading import Own
    from dstack_fleets_tui.live.source import Source
    from dstack_fleets_tui.screens.trouble import TroubleScreen
    from dstack_fleets_tui.settings.projects import Projects
    from dstack_fleets_tui.settings.settings import Settings
    from dstack_fleets_tui.terminal.terminal_driver import TerminalDriver

#: States that polling on does not fix: the user has to.
_TROUBLE = frozenset(
    {ConnectionState.UNAUTHORISED, ConnectionState.NO_PROJECT, ConnectionState.UNSUPPORTED}
)

#: Seconds between two looks at what is due of a replay.
REPLAYED = 0.2


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


def _fleets() -> Screen[None]:
    from dstack_fleets_tui.screens.lists import FleetsScreen

    return FleetsScreen()


def _services() -> Screen[None]:
    from dstack_fleets_tui.screens.lists import ServicesScreen

    return ServicesScreen()


def _problems() -> Screen[None]:
    from dstack_fleets_tui.screens.problems import ProblemsScreen

    return ProblemsScreen()


def _events() -> Screen[None]:
    from dstack_fleets_tui.screens.events import EventsScreen

    return EventsScreen()


def _names() -> type[Provider]:
    from dstack_fleets_tui.screens.parts.palette import Names

    return Names


class FleetsApp(KeyedApp):
    """The dashboard.

    Args:
        connection: Where to connect, or why that is not known.
        settings: The user's settings.
        again: Finds the connection again, after the user has fixed something.
        now: The clock.
        open_source: Opens what is read of a connection; the usual without it.
        terminal_is_gone: Tells when to leave.
        store: Where drafts, the way back and the audit log are kept; the user's without it.
        themes: The user's own.
        projects: How other projects are found; None where there is but one.
        keys: The user's own.
        own: Reads again what the user may set; None where that is given.
        beside: Further projects, shown in the same lists.
    """

    TITLE = "dstack-fleets-tui"
    CSS_PATH = "app.tcss"
    MODES = {
        places.FLEETS: _fleets,
        places.SERVICES: _services,
        places.PROBLEMS: _problems,
        places.EVENTS: _events,
    }
    DEFAULT_MODE = places.FLEETS
    COMMANDS = KeyedApp.COMMANDS | {_names}
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
        open_source: Callable[[Connection], AbstractAsyncContextManager[Source]] | None = None,
        terminal_is_gone: Callable[[], bool] = terminal_is_gone,
        store: Store | None = None,
        themes: Sequence[Theme] = (),
        projects: Projects | None = None,
        keys: OwnKeys = USUAL_KEYS,
        own: Callable[[], Own] | None = None,
        beside: Sequence[Connection] = (),
    ) -> None:
        super().__init__(connection, settings, now=now, store=store, projects=projects)
        for theme in themes:
            self.register_theme(theme)
        if settings.theme in self.available_themes:
            self.theme = settings.theme  # before there are styles to be made again
        self.sessions += map(self._session_of, beside)
        self._first_keys = keys
        self._own = own
        self._again = again
        self._open_source = open_source
        self._terminal_is_gone = terminal_is_gone
        self._trouble: TroubleScreen | None = None
        self._loaded = False
        self._told = ""
        # The palette draws what ASCII has not; the command line does the same.
        self.use_command_palette = not settings.ascii
        self.set_class(self.ascii, "-ascii")
        # Every bar asks the class, so one place decides for all of them.
        ScrollBar.renderer = AsciiScrollBars if self.ascii else ScrollBarRender
        self._ended_by: int | None = None

    # Life ---------------------------------------------------------------------------------

    def on_mount(self) -> None:
        """Starts to read; the first paint does not wait for it."""
        self.set_interval(LOOK_EVERY, self._leave_with_terminal)
        self.screen_change_signal.subscribe(self, self._keys.screen_changed, immediate=True)
        self.use_keys(self._first_keys)
        self._say_what_is_wrong()
        self.begin()

    def begin(self) -> None:
        """Begins to read, and shows what comes first."""
        if self.replay is not None:
            self._replaying.begin()
        self._connect()
        if self.demo.is_there and not self.views.now.card:
            # Nothing else comes up by itself over it.
            self._somebody_is_there()
            self.call_after_refresh(self._show_card)

    def _say_what_is_wrong(self) -> None:
        """Says what is wrong with the settings."""
        theme = self._settings.theme
        if theme is not None and theme not in self.available_themes:
            names = ", ".join(sorted(self.available_themes))
            self.warn(f"There is no theme {one_line(theme)}. Themes: {names}.")
        for notice in (*self._settings.notices, *wrong_aliases(self._settings.aliases)):
            self.warn(notice)

    def do_reload(self, argument: str) -> None:
        """Takes over what was changed of settings, keys and themes."""
        if self._own is None:
            self.notify("There are no settings to read here.", markup=False)
            return
        from dstack_fleets_tui.app.reloading import changed
        from dstack_fleets_tui.screens.parts.base import LiveScreen

        own = self._own()
        read = own.settings
        for session in self.sessions:
            if self._projects is not None and isinstance(session.connection, Connection):
                read = self._projects.guarded(read, session.connection)
        found = changed(self._settings, read, self._quitting.in_the_way)
        for theme in own.themes:
            self.register_theme(theme)
        self._settings = found.settings
        self.__dict__.pop("aliases", None)
        self.notify(found.told, markup=False)
        if found.settings.theme in self.available_themes:
            self.theme = found.settings.theme
        self._say_what_is_wrong()
        self.use_keys(own.keys)
        if found.reads_again:
            for session in self.sessions:
                self._find_again(session)
            self._connect()
        for stack in self._screen_stacks.values():
            for screen in stack:
                if isinstance(screen, LiveScreen) and screen.is_laid_out:
                    screen.settings_changed()

    def _show_card(self) -> None:
        from dstack_fleets_tui.screens.card import CardScreen

        def put_away(_: None) -> None:
            self.views.change(card=True)

        self.push_screen(CardScreen(ascii_only=self.ascii), put_away)

    def _connect(self) -> None:
        if isinstance(self.session.connection, ConfigError):
            self._show_trouble(self.session.connection.message, self.session.connection.hint)
            return
        self._end_trouble()
        for session in self.sessions:
            if not isinstance(session.connection, ConfigError):
                self._begin(session, session.connection)

    def _find_again(self, session: Session) -> None:
        """Finds out again where a project is, after the user has fixed something."""
        if not self.several:
            if self._again is not None:
                session.connection = self._again()
            return
        if self._projects is None:
            return
        found = self._projects.connect(session.project)
        others = [each.connection for each in self.sessions if each is not session]
        try:
            if isinstance(found, ConfigError):
                raise found
            refuse_shared_token([found, *(e for e in others if isinstance(e, Connection))])
        except ConfigError as error:
            self.warn(str(error))
        else:
            session.connection = found

    def _begin(self, session: Session, connection: Connection) -> None:
        """Reads a project from now on."""
        for warning in connection.warnings:
            self.notice_once(warning) if self.several else self.warn(warning)
        session.goes_on(connection, self.now())
        self.read(session, connection)

    def _connect_to(self, connections: Sequence[Connection]) -> None:
        """Goes to other projects: what is open of these is left."""
        projects = self._projects
        if projects is not None:
            for connection in connections:
                self._settings = projects.guarded(self._settings, connection)
        self._leave_all()
        for session in self.sessions:
            if session.reading is not None:
                session.reading.cancel()
        self.sessions = [self._session_of(connection) for connection in connections]
        self._take(self.sessions[0])
        self._connect()
        if self._in_front is not None:
            self._in_front.settings_changed()

    def _session_of(self, connection: Connection) -> Session:
        session = Session(connection, self.now(), losses=self._settings.loss_problems)
        session.lookout.somebody_is_there = self.lookout.somebody_is_there
        return session

    def _leave_all(self) -> None:
        """Leaves all that is open over the lists."""
        here = self.current_mode
        for mode, stack in [*self._screen_stacks.items()]:
            if mode in self.MODES and len(stack) > 1:
                self.switch_mode(mode)
                for _ in self.screen_stack[1:]:
                    self.pop_screen()
        self.switch_mode(here)

    def take_in_hand(self, session: Session) -> None:
        """Has all that follows be of a project: what is open of the one before is left.

        Raises:
            CommandError: Something is being changed in that one.
        """
        if session is self.session:
            return
        for line in self._quitting.in_the_way():
            raise CommandError(f"{line} Finish or leave it before you go to {session.project}.")
        self._leave_all()
        self._take(session)

    def _take(self, session: Session) -> None:
        self.session = session
        self.trail.forget()
        projects = self._projects
        if projects is not None:
            self._again = lambda: projects.connect(session.project)

    def read(self, session: Session, connection: Connection) -> None:
        """Polls the server of a project until the app ends or connects again."""
        if session.reading is not None:
            session.reading.cancel()
        session.reading = self.run_worker(partial(self._read, session, connection), group="read")

    async def _read(self, session: Session, connection: Connection) -> None:
        try:
            await self._read_from(session, connection)
        except ConfigError as error:  # such as a CA file that is gone
            if not self.several:
                self._show_trouble(error.message, error.hint)
                return
            session.health = Health(
                ConnectionState.UNAUTHORISED, self.now(), error.message, error.hint
            )
            if self._in_front is not None:
                self._in_front.show()

    async def _read_from(self, session: Session, connection: Connection) -> None:
        from dstack_fleets_tui.live.poller import Poller
        from dstack_fleets_tui.live.source import open_source

        async with (self._open_source or open_source)(connection) as source:
            session.source = source
            session.poller = Poller(
                source.feed,
                lambda update: self.post_message(self.Read(update, connection)),
                interval=self._settings.interval if self.replay is None else REPLAYED,
                on_fault=self.fault,
            )
            session.poller.pause(self.paused)
            if self._in_front is not None:
                self._in_front.focus_on()
            looking: Worker[None] | None = None
            if self.replay is None:
                look_up = partial(self.changing.look_up, source, connection.url)
                looking = self.run_worker(look_up)
            try:
                await session.poller.run()
            finally:
                if looking is not None:
                    looking.cancel()
                self._end_own_reads(session)
                await self.changing.finish(soon=self._ended_by is not None)

    def _end_own_reads(self, session: Session) -> None:
        """Ends what screens read beside the feed: it is of the project in hand."""
        from dstack_fleets_tui.screens.parts import own_reads

        if session is self.session or session not in self.sessions:
            for worker in list(self.workers):
                if worker.group == own_reads.GROUP:
                    worker.cancel()

    def _fatal_error(self) -> None:
        """Ends the app after a fault, with a line: Textual's own traceback has values in it."""
        error = sys.exc_info()[1] or self._exception
        if error is not None:
            from rich.text import Text

            self.panic(Text(faults.line_of(error)))

    def end(self, number: int) -> None:
        """Ends the app because a signal says so, the terminal restored."""
        if self._ended_by is None:
            self._ended_by = number
            self.changing.texts.keep_all()
            self.exit(128 + number)

    def end_soon(self) -> None:
        """Has the end wait but a moment for a terminal that takes no text."""
        if (terminal := self._terminal) is not None:
            terminal.end_soon()

    def get_driver_class(self) -> type[Driver]:
        """The driver of a terminal is ours; any other is as the environment says."""
        from textual.drivers.linux_driver import LinuxDriver

        from dstack_fleets_tui.terminal.terminal_driver import TerminalDriver

        chosen = super().get_driver_class()
        return TerminalDriver if chosen is LinuxDriver else chosen

    @property
    def _terminal(self) -> TerminalDriver | None:
        """The driver of a terminal, if there is one."""
        from dstack_fleets_tui.terminal.terminal_driver import TerminalDriver

        return self._driver if isinstance(self._driver, TerminalDriver) else None

    def _leave_with_terminal(self) -> None:
        if self._terminal_is_gone() and not self.changing.texts.is_keeping:
            self.changing.texts.keep_all()
            self.exit(1)

    # Data ---------------------------------------------------------------------------------

    def on_fleets_app_read(self, message: Read) -> None:
        """Takes over what a poll brought, and has the screen in front show it."""
        on_it = (each for each in self.sessions if each.connection is message.connection)
        session = next(on_it, None)
        if session is None or not self.screen_stack:
            return  # of a connection that was given up meanwhile, or while the app ends
        update = message.update
        session.health = update.health
        if update.snapshot is not None:
            had_all = session.snapshot is not None and session.snapshot.complete
            became_complete = update.snapshot.complete and not had_all
            if became_complete:
                session.lookout.all_was_read()
                _spare_the_collector(again=self._loaded)
                self._loaded = True
            elif not update.snapshot.complete:
                gc.freeze()  # a collection would walk through all that was read so far
            before, session.snapshot = session.snapshot, update.snapshot
            self._alert(session, self._look(session, update, before))
            self._show_title()
            self._notice_unreadable(update.snapshot)
            self._tell_of_clocks(session)
        if update.health.state in _TROUBLE and not self.several:
            self._show_trouble(update.health.message or "", update.health.hint or "")
            return
        self._end_trouble()
        if session.lookout.wants_to_the_front(session.snapshot):
            self.switch_mode(places.PROBLEMS)
        screen = self._in_front
        if screen is not None and screen.shows(session):
            screen.show()
            screen.focus_on()

    def _look(self, session: Session, update: Update, before: Snapshot | None) -> Sequence[Problem]:
        """Has those see an update who keep what was; the critical problems that are new."""
        new = session.look(update, before, self.now())
        steps = session.past(update)
        if steps is not None:
            self.run_worker(
                partial(self._fill_trends, session, steps),  # type: ignore[arg-type]
                group=f"past {session.project}",
                exclusive=True,
            )
        return new

    async def _fill_trends(self, session: Session, steps: Iterator[None]) -> None:
        """Has trends begin before the dashboard did; keys have their turn in between."""
        for _ in steps:
            await asyncio.sleep(0)
        screen = self._in_front
        if screen is not None and screen.shows(session):
            screen.show()

    def _rewind(self, past: Iterable[Update]) -> None:
        """Shows another moment of a replay: what was seen of others counts no more.

        Args:
            past: What was before it.
        """
        if isinstance(self.session.connection, ConfigError):
            return
        # What was read before this, and comes after it, is of another connection.
        self.session.connection = again = replace(self.session.connection)
        self.session.forget()
        before: Snapshot | None = None
        for update in past:
            self._look(self.session, update, before)
            before = update.snapshot
        self.read(self.session, again)

    def _alert(self, session: Session, new: Sequence[Problem]) -> None:
        """Has the terminal tell of critical problems that are new."""
        if not new or self._settings.alert == "off":
            return
        self.bell()
        if self._settings.alert == "notify" and self._driver is not None:
            more = f" (and {len(new) - 1} more)" if len(new) > 1 else ""
            text = one_line(f"{session.project}: {new[0].subject} {new[0].text}{more}")
            self._driver.write(notification(text, os.environ))

    def _show_title(self) -> None:
        """Shows how many problems there are where terminals are told apart."""
        from dstack_fleets_tui.words import words

        if (terminal := self._terminal) is not None:
            projects = ", ".join(each.project for each in self.sessions)
            terminal.show_title(f"{words.problems(self.all_problems)} {projects}".strip())

    def _notice_unreadable(self, snapshot: Snapshot) -> None:
        """Names records that can't be read, and why the placement is not, each once."""
        failure = snapshot.placement_failure
        placement = [f"The placement add-on could not be read. {failure}"] if failure else []
        of = f"{snapshot.project}: " if self.several else ""
        messages = [f"{of}{each}" for each in (*placement, *snapshot.unreadable)]
        new = [message for message in messages if self._is_news(message)]
        if new:
            more = f" {len(new) - 1} more can't be read." if len(new) > 1 else ""
            self.warn(f"{new[0]}{more} Everything else is shown.")

    def _tell_of_clocks(self, session: Session) -> None:
        """Says once that this machine's clock is not the server's."""
        if session.snapshot is None or self.replay is not None:
            return
        told = difference(session.snapshot.clock_ahead)
        if told and not session.clocks_told:
            self.warn(f"{session.project}: {told}" if self.several else told)
        session.clocks_told = bool(told)

    def on_resize(self) -> None:
        """Paints everything again.

        A terminal that is made smaller and as large again has lost what was cut away, and Textual
        finds no change.
        """
        if self.front is not None:
            self.front.refresh()

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
        if self._in_front is not None:
            self._in_front.show_state()  # for the last time: it is behind from now on
        from dstack_fleets_tui.screens.trouble import TroubleScreen

        self._trouble = TroubleScreen(message, hint, ascii_only=self.ascii)
        self.push_screen(self._trouble)

    @property
    def _is_worked_on(self) -> bool:
        """Whether something is typed or read in front that nothing may open over by itself."""
        from textual.widgets import Input

        from dstack_fleets_tui.screens.parts.base import LiveScreen

        screen = self.front
        at_rest = isinstance(screen, LiveScreen) and screen.name_of_screen in places.TABLES
        return not at_rest or isinstance(self.focused, Input)

    def _end_trouble(self) -> None:
        self._told = ""
        trouble, self._trouble = self._trouble, None
        if trouble is not None:
            from dstack_fleets_tui.screens.parts.palette import Palette

            # The palette before it offers what can be done there.
            for screen in self.screen_stack:
                if isinstance(screen, Palette):
                    screen.dismiss()
            trouble.dismiss()

    # Reading, as people say -----------------------------------------------------------------

    def do_refresh(self, argument: str) -> None:
        """Reads everything again; where nothing was read yet, looks for the connection again."""
        if not self.several and (self._trouble is not None or self.snapshot is None):
            self._find_again(self.session)
            self._connect()
            return
        for session in self.sessions:
            if session.poller is None or session.health.state in _TROUBLE:
                self._find_again(session)
                if isinstance(session.connection, Connection):
                    self._begin(session, session.connection)
            else:
                session.poller.refresh()
        # One that is just opening reads by itself.
        screen = self._in_front
        if self.snapshot is not None and screen is not None and screen.is_laid_out:
            screen.reread()

    def do_pause(self, argument: str) -> None:
        """Stops reading, or goes on."""
        self.paused = not self.paused
        for session in self.sessions:
            if session.poller is not None:
                session.poller.pause(self.paused)
        if self.replay is not None:
            self.replay.pause(self.paused)
        if self._in_front is not None:
            self._in_front.show_state()
