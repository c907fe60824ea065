"""What screens and changes need of the app that they are in."""

from __future__ import annotations

import logging
import os
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from textual.app import ScreenStackError

from dstack_api_client.text import one_line
from dstack_fleets_tui.actions import actions
from dstack_fleets_tui.actions.commands import all_aliases
from dstack_fleets_tui.host.demo import Demo
from dstack_fleets_tui.host.status_line import Said, StatusLine
from dstack_fleets_tui.host.trail import Place, Trail
from dstack_fleets_tui.live import heading
from dstack_fleets_tui.live.session import Session
from dstack_fleets_tui.settings.kept_views import KeptViews
from dstack_fleets_tui.themes.showing import ThemedApp
from dstack_fleets_tui.words import faults
from dstack_widgets.drawing.glyphs import ASCII, UNICODE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from textual.notifications import SeverityLevel
    from textual.screen import Screen

    from dstack_api_client.analysis.since import Since
    from dstack_api_client.connect.connection import ConfigError, Connection
    from dstack_api_client.edits.fleet.fleets import FleetPlan
    from dstack_api_client.edits.plan.planning import Plan
    from dstack_api_client.edits.store.keeping import Store
    from dstack_api_client.feed.update import Health
    from dstack_api_client.model.fleet import Fleet, Instance
    from dstack_api_client.model.replica import ReplicaKey
    from dstack_api_client.model.snapshot import Snapshot
    from dstack_api_client.problems.model import Problem
    from dstack_api_client.recordings.recorder import Recorder
    from dstack_api_client.recordings.replay import Replay
    from dstack_api_client.trends.watch import TrendWatch
    from dstack_fleets_tui.actions.action import Action
    from dstack_fleets_tui.editing.texts import Editing
    from dstack_fleets_tui.live.lookout import Lookout
    from dstack_fleets_tui.live.source import Source
    from dstack_fleets_tui.settings.own_keys import OwnKeys
    from dstack_fleets_tui.settings.settings import Settings
    from dstack_widgets.inputs.command_line import History
    from dstack_widgets.screen.status_header import HeaderState

_LOG = logging.getLogger(__name__)
#: So many notices are remembered as said.
_NOTICED = 1000


class Changes(Protocol):
    """What screens ask to be changed."""

    @property
    def store(self) -> Store:
        """Where drafts, the way back and the audit log are kept."""

    def go_back(self, name: str, number: int) -> None:
        """Plans the way back to an earlier deployment of a service."""

    def as_text(self, editing: Editing[Any]) -> None:
        """Has a text edited; what was typed is used, or kept."""

    def apply(self, plan: Plan | FleetPlan, *, under: Screen[None] | None = None) -> None:
        """Carries a confirmed plan out and shows what comes of it."""


class Deletions(Protocol):
    """What screens ask to be deleted."""

    def delete(self, fleet: Fleet) -> None:
        """Deletes a fleet, once that is confirmed."""

    def delete_some(self, fleet: Fleet, chosen: Sequence[Instance]) -> None:
        """Deletes instances of a fleet, once that is confirmed."""


@runtime_checkable
class Says(Protocol):
    """A screen with a line for messages."""

    def show_said(self) -> None:
        """Shows the message that stands now."""


@runtime_checkable
class ShowsKeys(Protocol):
    """A screen with a line of keys."""

    def show_keys(self) -> None:
        """Shows the keys that work now."""


class Host(ThemedApp):
    """The part of the app that knows no screen.

    Args:
        connection: Where to connect, or why that is not known.
        settings: The user's settings.
        now: The clock.

    Attributes:
        session: The project in hand: all that is open over a list is of it, and so is what is done.
        sessions: All projects that are read, in the order in which they were named.
        paused: Whether nothing is read now.
        touches: How many keys were pressed that some screen took.
        said: The messages.
        filters: What lists are filtered by, by where they are, whatever they were opened over.
        own_keys: The user's own keys, by the id of a binding.
        trail: Where one has been.
        demo: The demo that it runs on, if any.
        recorder: What writes a recording, if anything.
        replay: The recording that is played, if any.
        last_words: What could not be kept when the app was ended, said once the terminal is back.
    """

    def __init__(
        self,
        connection: Connection | ConfigError,
        settings: Settings,
        *,
        now: Callable[[], datetime],
    ) -> None:
        super().__init__()
        self.session = Session(connection, now(), losses=settings.loss_problems)
        self.sessions = [self.session]
        self._settings = settings
        self._noticed: dict[str, bool] = {}
        self._answered_at, self._answered_by = 0.0, ""
        self._handed_on = ""
        self.now = now
        self.ascii = settings.ascii
        self.glyphs = ASCII if settings.ascii else UNICODE
        self.paused = False
        self.touches = 0
        self.filters: dict[Place, str] = {}
        self.own_keys: Mapping[str, tuple[str, ...]] = {}
        self.said = StatusLine()
        self.trail = Trail()
        self.demo = Demo.of(os.environ)
        self.recorder: Recorder | None = None
        self.replay: Replay | None = None
        # A toast covers what somebody reads.
        self._disable_notifications = True
        self.last_words: list[str] = []

    @property
    def several(self) -> bool:
        """Whether several projects are read."""
        return len(self.sessions) > 1

    @property
    def source(self) -> Source | None:
        """What is read of the server of the project in hand; None until it is open."""
        return self.session.source

    @property
    def snapshot(self) -> Snapshot | None:
        """The latest snapshot of the project in hand."""
        return self.session.snapshot

    @property
    def health(self) -> Health:
        """The state of its connection."""
        return self.session.health

    @property
    def lookout(self) -> Lookout:
        """What looks for what is wrong in it."""
        return self.session.lookout

    @property
    def trends(self) -> TrendWatch:
        """What its last 30 minutes were."""
        return self.session.trends

    def warn(self, text: str) -> None:
        """Says that something is wrong or refused."""
        self.notify(text, severity="warning", markup=False)

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = True,
    ) -> None:
        """Says something in the line above the footer; it is literal text."""
        warning = severity != "information"
        _LOG.info("said: %s", message)
        self.said.say(Said(one_line(message), self.now().astimezone(), warning), self.touches)
        self.show_said()

    def take_back(self, message: str) -> None:
        """Shows a message no longer that is no longer true."""
        self.said.take_back(one_line(message))
        self.show_said()

    def show_said(self) -> None:
        """Shows the message that stands now on the screens that people see."""
        for screen in self._in_sight():
            if isinstance(screen, Says):
                screen.show_said()

    def show_keys(self) -> None:
        """Shows the keys that work now on the screens that people see."""
        for screen in self._in_sight():
            if isinstance(screen, ShowsKeys):
                screen.show_keys()

    def _in_sight(self) -> Iterator[Screen[Any]]:
        """The screens that people see, from the front: boxes, and the screen behind them."""
        try:
            screens = self.screen_stack
        except ScreenStackError:
            return  # while the app begins or ends
        for screen in reversed(screens):
            yield screen
            if not screen.is_modal:
                return

    def fault(self, error: Exception) -> None:
        """Says that a read failed by a fault of this program; once for each place."""
        line = faults.line_of(error)
        if self._is_news(line):
            self.warn(line)

    def notice_once(self, text: str) -> None:
        """Says that something is wrong, unless it was said before."""
        if self._is_news(text):
            self.warn(text)

    def _is_news(self, message: str) -> bool:
        """Whether it was not said yet. Of very many, those not seen for longest are forgotten."""
        new = self._noticed.pop(message, None) is None
        self._noticed[message] = True
        if len(self._noticed) > _NOTICED:
            del self._noticed[next(iter(self._noticed))]
        return new

    def server_now(self) -> datetime:
        """The time by the server's clock: all that it tells of is by that."""
        return self.session.server_now(self.now())

    @property
    def front(self) -> Screen[Any] | None:
        """The screen in front; None while the app begins or ends."""
        try:
            return self.screen
        except ScreenStackError:
            return None

    def was_answered(self, *, asked: bool = True) -> None:
        """Has what was pressed before now count no more: a screen that asked is closing.

        Args:
            asked: Whether it did. If not, only the key that closed it counts no more.
        """
        self._answered_at = time.monotonic()
        self._answered_by = "" if asked else self._handed_on

    def focus_on(
        self,
        *,
        services: Collection[str] = (),
        fleets: Collection[str] = (),
        opened_service: str | None = None,
        opened_fleet: str | None = None,
    ) -> None:
        """Tells the feed what is on screen, by ids."""
        self.session.focus(
            services=services,
            fleets=fleets,
            opened_service=opened_service,
            opened_fleet=opened_fleet,
        )

    def do_pause(self, argument: str) -> None:
        """Stops reading, or goes on."""
        raise NotImplementedError

    def hurry(self) -> None:
        """Polls now: something new is in front."""
        for session in self.sessions:
            if session.poller is not None:
                session.poller.hurry()

    @property
    def problems(self) -> Sequence[Problem]:
        """What is wrong in the latest snapshot, worst first."""
        return self.session.problems

    @property
    def all_problems(self) -> Sequence[Problem]:
        """What is wrong in all projects that are read, worst first."""
        if not self.several:
            return self.problems
        found = (each for session in self.sessions for each in session.problems)
        return sorted(found, key=lambda each: -each.severity)

    def take_in_hand(self, session: Session) -> None:
        """Has all that follows be of a project: what is open of the one before is left.

        Raises:
            CommandError: Something is being changed in that one.
        """
        raise NotImplementedError

    @cached_property
    def changing(self) -> Changes:
        """Begins changes."""
        raise NotImplementedError

    @cached_property
    def fleet_changes(self) -> Deletions:
        """Begins those of fleets."""
        raise NotImplementedError

    @property
    def state_folder(self) -> Path:
        """The folder for what is kept from one start to the next."""
        raise NotImplementedError

    @cached_property
    def views(self) -> KeptViews:
        """What people chose of how things are shown."""
        return KeptViews(self.state_folder)

    @cached_property
    def typed(self) -> History:
        """The commands that were typed, on any screen."""
        from dstack_fleets_tui.settings.kept_commands import KeptCommands

        return KeptCommands(self.state_folder)

    @property
    def columns(self) -> Mapping[str, str | list[str]]:
        """By a list, which of its columns the settings want."""
        return {str(name): wish for name, wish in self._settings.columns.items()}

    @cached_property
    def aliases(self) -> Mapping[str, str]:
        """What stands for a command where one is typed."""
        return all_aliases(self._settings.aliases)

    @property
    def routers_over_ssh(self) -> str:
        """Which routers are read over SSH on a server without the add-on."""
        return self._settings.routers_over_ssh

    @property
    def since(self) -> Since:
        """Since when things are as they are, as far as events told."""
        return self.lookout.since

    @property
    def interval(self) -> float:
        """Seconds between two polls."""
        return self._settings.interval

    def header_state(self) -> HeaderState:
        """What the header shows now."""
        return heading.header_state(
            self.session.connection,
            self.health,
            self.snapshot,
            now=self.now(),
            interval=self.interval,
            paused=self.paused,
            dot=self.glyphs.dot,
            mode=self._mode(),
        )

    def header_of_all(self, at_hand: Session) -> HeaderState:
        """What the header of a list of several projects shows now.

        Args:
            at_hand: The project of the row under the cursor.
        """
        guard = self._guard_of(at_hand.project)
        return heading.of_several(
            self.sessions,
            now=self.now(),
            interval=self.interval,
            paused=self.paused,
            mode=self._loudly(f"{at_hand.project} {guard}" if guard else ""),
        )

    def _guard_of(self, project: str) -> str:
        if self.read_only_in(project):
            return "READ-ONLY"
        return "PROTECTED" if self._settings.protected_in(project) else ""

    def _mode(self) -> str:
        """What the header says loudly: what is shown is past or recorded, or what guards it."""
        if self.replay is not None:
            return heading.replay_word(self.replay, ascii_only=self.ascii)
        return self._loudly(self._guard_of(self.project))

    def _loudly(self, guard: str) -> str:
        recorded = self.recorder is not None and self.recorder.goes_on
        return " ".join(word for word in ("REC" if recorded else "", guard) if word)

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
        return self.session.failure

    @property
    def read_only(self) -> bool:
        """Whether nothing may be changed."""
        return self._settings.read_only_in(self.project)

    def read_only_in(self, project: str) -> bool:
        """Whether nothing of a project may be changed."""
        return self._settings.read_only_in(project)

    @property
    def guard_notices(self) -> tuple[str, ...]:
        """Why nothing may be changed, where a mistake in the settings keeps it."""
        return self._settings.guard_notices

    @property
    def protected(self) -> bool:
        """Whether a name has to be typed before something is changed."""
        return self._settings.protected_in(self.project)

    @property
    def place(self) -> str:
        """The project and the server, as people name them."""
        return f"{self.project} @ {heading.host_of(self.session.connection)}"

    @property
    def project(self) -> str:
        """The project's name, as far as known."""
        return self.session.project

    def open_fleet(self, fleet_id: str, view: str = "", row: str | None = None) -> None:
        """Opens a fleet over what is in front.

        Args:
            fleet_id: The fleet.
            view: The view to begin with.
            row: The key of the row to put the cursor on.
        """
        raise NotImplementedError

    def open_service(self, run_id: str, view: str = "", row: str | None = None) -> None:
        """Opens a service over what is in front; arguments as for `open_fleet`."""
        raise NotImplementedError

    def open_replica(self, key: ReplicaKey, view: str = "") -> None:
        """Opens a replica over what is in front.

        Args:
            key: The replica.
            view: The view to begin with.
        """
        raise NotImplementedError

    def open_logs(self, run_id: str, only: str = "") -> None:
        """Opens the logs of a service over what is in front.

        Args:
            run_id: The service.
            only: The name of the replica or group to begin with; all for none.
        """
        raise NotImplementedError

    def open_named(self, name: str, kind: str = "") -> None:
        """Opens whatever has a name over what is in front.

        Args:
            name: The name.
            kind: `fleet` or `service`, where that is known.

        Raises:
            NoSuchNameError: There is nothing of that name.
        """
        raise NotImplementedError

    @property
    def project_names(self) -> Sequence[str]:
        """The projects that one can switch to."""
        return ()

    def keys_of(self, action: Action) -> tuple[str, ...]:
        """The keys that trigger an action."""
        return self.own_keys.get(action.id, action.keys)

    def use_keys(self, own: OwnKeys) -> None:
        """Has bindings listen to the user's own keys."""
        self.own_keys = own.keys
        self.set_keymap({binding: ",".join(keys) for binding, keys in own.keys.items()})
        for notice in own.notices:
            self.warn(notice)

    def offered(self, screen: str) -> Sequence[Action]:
        """The actions whose commands can be typed on a screen, as things are."""
        return [
            action
            for action in actions.ACTIONS
            if action.typed_on(screen)
            and not (action.writes and self.read_only)
            and self.has(action)
        ]

    def has(self, action: Action) -> bool:
        """Whether an action is for what the app shows: the demo and replays have their own."""
        return (self.demo.is_there or not action.demo) and (
            self.replay is not None or not action.replay
        )

    def show_help(self, screen: str) -> None:
        """Shows the keys of a screen."""
        raise NotImplementedError

    def end(self, number: int) -> None:
        """Ends the app because a signal says so."""
        raise NotImplementedError
