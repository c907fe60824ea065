"""The dashboard: one app over one feed.

Screens and what reads are imported where they are needed: the first frame needs none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.binding import Binding
from textual.scrollbar import ScrollBar, ScrollBarRender

from dstack_api_client.clock import utc_now
from dstack_api_client.connect.connection import ConfigError, Connection
from dstack_api_client.text import one_line
from dstack_fleets_tui.actions import places
from dstack_fleets_tui.actions.commands import wrong_aliases
from dstack_fleets_tui.app.acting import Given
from dstack_fleets_tui.app.reading import ReadingApp
from dstack_fleets_tui.settings.own_keys import USUAL_KEYS, OwnKeys
from dstack_fleets_tui.terminal.terminal import LOOK_EVERY, terminal_is_gone
from dstack_widgets.screen.painting import LeavesFront
from dstack_widgets.screen.scroll_bars import AsciiScrollBars

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from textual.command import Provider
    from textual.screen import Screen
    from textual.theme import Theme

    from dstack_api_client.edits.store.keeping import Store
    from dstack_fleets_tui.app.reloading import Own
    from dstack_fleets_tui.live.source import Source
    from dstack_fleets_tui.settings.projects import Projects
    from dstack_fleets_tui.settings.settings import Settings


def _fleets() -> Screen[None]:
    from dstack_fleets_tui.screens.fleets import FleetsScreen

    return FleetsScreen()


def _services() -> Screen[None]:
    from dstack_fleets_tui.screens.services import ServicesScreen

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


class FleetsApp(LeavesFront, ReadingApp):
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
    COMMANDS = ReadingApp.COMMANDS | {_names}
    # Of an app's bindings, only those of priority count over a box.
    BINDINGS = [Binding("ctrl+c", "copy_or_quit", show=False, priority=True, id="copy_or_quit")]

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
        given = Given(now, store, projects, terminal_is_gone, again, open_source, beside)
        super().__init__(connection, settings, given)
        for theme in themes:
            self.register_theme(theme)
        if settings.theme in self.available_themes:
            self.theme = settings.theme  # before there are styles to be made again
        self._first_keys = keys
        self._own = own
        # The palette draws what ASCII has not; the command line does the same.
        self.use_command_palette = not settings.ascii
        self.set_class(self.ascii, "-ascii")
        # Every bar asks the class, so one place decides for all of them.
        ScrollBar.renderer = AsciiScrollBars if self.ascii else ScrollBarRender

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
