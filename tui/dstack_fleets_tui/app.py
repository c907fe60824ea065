"""The dashboard: one app over one feed."""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timezone

from textual import events, work
from textual.app import App, SystemCommand
from textual.message import Message
from textual.screen import Screen
from textual.scrollbar import ScrollBar, ScrollBarRender

from dstack_api_client.connection import ConfigError, Connection
from dstack_api_client.edits.keeping import Store
from dstack_api_client.feed import ConnectionState, Health, Update
from dstack_api_client.problem import Problem
from dstack_api_client.routers.watch import OverSsh
from dstack_api_client.since import Since
from dstack_api_client.snapshot import Fleet, ReplicaKey, Snapshot
from dstack_fleets_tui import actions, heading
from dstack_fleets_tui.changing import Changing
from dstack_fleets_tui.lookout import Lookout
from dstack_fleets_tui.poller import Poller
from dstack_fleets_tui.screens import own_reads
from dstack_fleets_tui.screens.base import LiveScreen
from dstack_fleets_tui.screens.events import EventsScreen
from dstack_fleets_tui.screens.fleet import FleetScreen
from dstack_fleets_tui.screens.help import HelpScreen
from dstack_fleets_tui.screens.lists import FleetsScreen, ServicesScreen
from dstack_fleets_tui.screens.problems import ProblemsScreen
from dstack_fleets_tui.screens.replica import ReplicaScreen
from dstack_fleets_tui.screens.service import ServiceScreen
from dstack_fleets_tui.screens.trouble import TroubleScreen
from dstack_fleets_tui.settings import Settings
from dstack_fleets_tui.source import Source, open_source
from dstack_fleets_tui.terminal import (
    LOOK_EVERY,
    THEME_OF_FEW_COLOURS,
    has_few_colours,
    let_hang_up_end_us,
    terminal_is_gone,
)
from dstack_widgets.glyphs import ASCII, UNICODE
from dstack_widgets.scroll_bars import AsciiScrollBars
from dstack_widgets.status_header import HeaderState

#: States that polling on does not mend: the user has to.
_TROUBLE = frozenset(
    {ConnectionState.UNAUTHORISED, ConnectionState.NO_PROJECT, ConnectionState.UNSUPPORTED}
)

#: How long a notice stays: several at once want to be read.
_NOTICE_SECONDS = 15


def utc_now() -> datetime:
    """The time, with its zone."""
    return datetime.now(timezone.utc)


def _spare_the_collector() -> None:
    """Keeps the garbage collector from walking through the first full load at every key press.

    Measured by `make bench`: with 10,000 rows the slowest key press takes less than half the time.
    """
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


class FleetsApp(App[int]):
    """The dashboard.

    Args:
        connection: Where to connect, or why that is not known.
        settings: The user's settings.
        again: Finds the connection anew, after the user has mended something.
        now: The clock.
        open_source: Opens what is read of a connection.
        terminal_is_gone: Tells when to leave.
        store: Where drafts, the way back and the audit log are kept; the user's without it.

    Attributes:
        changing: Begins changes.
        lookout: Looks for what is wrong.
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
    ) -> None:
        super().__init__()
        self._connection = connection
        self._settings = settings
        self._again = again
        self._open_source = open_source
        self._terminal_is_gone = terminal_is_gone
        self._poller: Poller[Update] | None = None
        self._where: tuple[str, str] | None = None
        self._trouble: TroubleScreen | None = None
        self.now = now
        self.ascii = settings.ascii
        self.glyphs = ASCII if settings.ascii else UNICODE
        # The palette draws what ASCII has not; the command line does the same.
        self.use_command_palette = not settings.ascii
        self.set_class(self.ascii, "-ascii")
        # Every bar asks the class, so one place decides for all of them.
        ScrollBar.renderer = AsciiScrollBars if self.ascii else ScrollBarRender
        self.paused = False
        self.changing = Changing(self, store or Store.default())
        self.source: Source | None = None
        self.snapshot: Snapshot | None = None
        self.lookout = Lookout()
        self.health = Health(ConnectionState.CONNECTING, now())

    # Life ---------------------------------------------------------------------------------

    def on_mount(self) -> None:
        """Starts to read; the first paint does not wait for it."""
        self.set_interval(LOOK_EVERY, self._leave_with_terminal)
        theme = self._settings.theme
        if theme in self.available_themes:
            self.theme = theme
        elif theme is not None:
            self.warn(f"There is no theme {theme}. Themes: {', '.join(self.available_themes)}.")
        for notice in self._settings.notices:
            self.warn(notice)
        self._connect()

    def warn(self, text: str) -> None:
        """Shows a notice that goes away by itself."""
        self.notify(text, severity="warning", timeout=_NOTICE_SECONDS, markup=False)

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
            self._where = where
            self.source = None
            self.snapshot = None
            self.lookout.begin()
            self.health = Health(ConnectionState.CONNECTING, self.now())
        self.read(self._connection)

    @work(exclusive=True, group="read")
    async def read(self, connection: Connection) -> None:
        """Polls the server until the app ends or connects anew."""
        async with self._open_source(connection) as source:
            self.source = source
            self._poller = Poller(
                source.feed,
                lambda update: self.post_message(self.Read(update, connection)),
                interval=self._settings.interval,
            )
            self._poller.pause(self.paused)
            if isinstance(self.screen, LiveScreen):
                self.screen.focus_on()
            try:
                await self._poller.run()
            finally:
                for worker in list(self.workers):
                    if worker.group == own_reads.GROUP:
                        worker.cancel()
                await self.changing.finish()

    def _leave_with_terminal(self) -> None:
        if self._terminal_is_gone():
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
                _spare_the_collector()
            events_read = self.source.feed.events if self.source is not None else ()
            self.lookout.look(update, self.snapshot, self.now(), events_read)
            self.snapshot = update.snapshot
        if update.health.state in _TROUBLE:
            self._show_trouble(update.health.message or "", update.health.hint or "")
            return
        self._end_trouble()
        if self.lookout.wants_to_the_front(self.snapshot):
            self.switch_mode(actions.PROBLEMS)
        if isinstance(self.screen, LiveScreen):
            self.screen.show()
            self.screen.focus_on()

    async def on_event(self, event: events.Event) -> None:
        """Notices that somebody is at the keys: from then on no screen comes up by itself."""
        if isinstance(event, (events.Key, events.Paste, events.MouseDown, events.MouseScrollDown)):
            self.lookout.somebody_is_there = True
        await super().on_event(event)

    def focus_on(
        self,
        *,
        services: Collection[str] = (),
        fleets: Collection[str] = (),
        opened_service: str | None = None,
        opened_fleet: str | None = None,
    ) -> None:
        """Tells the feed what is on screen, by ids."""
        if self.source is not None:
            self.source.feed.focus(
                services=services,
                fleets=fleets,
                opened_service=opened_service,
                opened_fleet=opened_fleet,
            )

    def hurry(self) -> None:
        """Polls now: something new is in front."""
        if self._poller is not None:
            self._poller.hurry()

    @property
    def problems(self) -> Sequence[Problem]:
        """What is wrong in the latest snapshot, worst first."""
        return self.lookout.problems

    @property
    def since(self) -> Since:
        """Since when things are as they are, as far as events told."""
        return self.lookout.since

    @property
    def interval(self) -> float:
        """Seconds between two polls."""
        return self._settings.interval

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

    def header_state(self) -> HeaderState:
        """What the header shows now."""
        return heading.header_state(
            self._connection,
            self.health,
            self.snapshot,
            now=self.now(),
            paused=self.paused,
            read_only=self.read_only,
            dot=self.glyphs.dot,
        )

    def empty_text(self, thing: str) -> str:
        """What a list without rows says: why it has none."""
        if self.snapshot is None and self.failure:
            return self.failure
        if self.snapshot is None or not self.snapshot.complete:
            return f"Reading the {thing} of {self.project}."
        return f"No {thing} in {self.project}."

    @property
    def failure(self) -> str:
        """Why the last poll failed and what to do, if it did."""
        return " ".join(part for part in (self.health.message, self.health.hint) if part)

    @property
    def read_only(self) -> bool:
        """Whether nothing may be changed."""
        return self._settings.read_only_in(self.project)

    @property
    def protected(self) -> bool:
        """Whether a name has to be typed before something is changed."""
        return self._settings.protected_in(self.project)

    @property
    def place(self) -> str:
        """The project and the server, as people name them."""
        return f"{self.project} @ {heading.host_of(self._connection)}"

    @property
    def project(self) -> str:
        """The project's name, as far as known."""
        return heading.project_of(self._connection)

    # Trouble that the user has to mend ----------------------------------------------------

    def _show_trouble(self, message: str, hint: str) -> None:
        if self._trouble is not None:
            self._trouble.show(message, hint)
            return
        if isinstance(self.screen, LiveScreen):
            self.screen.show_state()  # for the last time: it is behind from now on
        self._trouble = TroubleScreen(message, hint, ascii_only=self.ascii)
        self.push_screen(self._trouble)

    def _end_trouble(self) -> None:
        trouble, self._trouble = self._trouble, None
        if trouble is not None:
            # The palette may stand before it.
            trouble.pop_until_active()
            trouble.dismiss()

    # Actions ------------------------------------------------------------------------------

    def do_fleets(self, argument: str) -> None:
        """Shows the fleets."""
        self._show_list(actions.FLEETS)

    def do_services(self, argument: str) -> None:
        """Shows the services."""
        self._show_list(actions.SERVICES)

    def do_problems(self, argument: str) -> None:
        """Shows what is wrong."""
        self._show_list(actions.PROBLEMS)

    def do_events(self, argument: str) -> None:
        """Shows what happened."""
        self._show_list(actions.EVENTS)

    def _show_list(self, mode: str) -> None:
        """Goes to a list where it was left; once there, leaves all that is open over it."""
        if mode != self.current_mode:
            self.switch_mode(mode)
            return
        for _ in self.screen_stack[1:]:
            self.pop_screen()

    def do_edit(self, argument: str) -> None:
        """Edits the service or the fleet that is open or under the cursor."""
        fleet = self._fleet_at_hand()
        if fleet is not None:
            self.changing.fleets.edit(fleet)
        service = self._service_at_hand()
        if service is not None:
            self.changing.edit(*service)

    def do_undo(self, argument: str) -> None:
        """Plans the way back of the service or the fleet that is open."""
        fleet = self._fleet_at_hand()
        if fleet is not None:
            self.changing.fleets.undo(fleet)
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
        self.changing.fleets.new(argument)

    def do_delete(self, argument: str) -> None:
        """Deletes the fleet that is open or under the cursor."""
        fleet = self._fleet_at_hand()
        if fleet is not None:
            self.changing.fleets.delete(fleet)

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
            if isinstance(self.screen, LiveScreen):
                self.screen.reread()

    def do_pause(self, argument: str) -> None:
        """Stops reading, or goes on."""
        self.paused = not self.paused
        if self._poller is not None:
            self._poller.pause(self.paused)
        if isinstance(self.screen, LiveScreen):
            self.screen.show_state()

    def do_quit(self, argument: str) -> None:
        """Leaves, but not while it is open what became of a change."""
        if self.changing.under_way:
            self.warn("A change is being sent. Wait until it is known what became of it.")
        else:
            self.exit(0)

    def action_help_quit(self) -> None:
        """Leaves at Ctrl+C, as everywhere in a terminal; with a text selected it copies that."""
        self.do_quit("")

    def show_help(self, screen: str) -> None:
        """Shows the keys of a screen."""
        self.push_screen(HelpScreen(screen, ascii_only=self.ascii, writes=not self.read_only))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Offers the actions of the screen in front in the palette, and the choice of a theme."""
        if isinstance(screen, LiveScreen):
            for action in actions.on_screen(screen.name_of_screen, writes=not self.read_only):
                yield SystemCommand(
                    action.title.capitalize(),
                    action.help,
                    lambda action_id=action.id: screen.action_do(action_id),
                )
        yield SystemCommand("Theme", "Choose another theme.", self.action_change_theme)


def run(
    connection: Connection | ConfigError,
    settings: Settings,
    *,
    again: Callable[[], Connection | ConfigError] | None = None,
) -> int:
    """Runs the dashboard in this terminal.

    Args:
        connection: Where to connect, or why that is not known.
        settings: The user's settings.
        again: Finds the connection anew.

    Returns:
        The exit code.
    """
    let_hang_up_end_us()
    if settings.theme is None and has_few_colours():
        settings = settings.model_copy(update={"theme": THEME_OF_FEW_COLOURS})

    def opened(connection: Connection) -> AbstractAsyncContextManager[Source]:
        return open_source(
            connection,
            read_only=settings.read_only_in(connection.project),
            over_ssh=OverSsh(settings.routers_over_ssh),
        )

    app = FleetsApp(connection, settings, again=again, open_source=opened)
    code = app.run()
    return app.return_code or 0 if code is None else code
