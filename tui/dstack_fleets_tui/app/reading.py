"""What the app reads: the sessions of its projects, and what becomes of each poll.

Screens and what reads are imported where they are needed: the first frame needs none of them.
"""

from __future__ import annotations

import asyncio
import gc
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from textual.message import Message

from dstack_api_client.clock import difference
from dstack_api_client.connect.connection import ConfigError, Connection, refuse_shared_token
from dstack_api_client.feed.update import ConnectionState, Health, Update
from dstack_fleets_tui.actions import places
from dstack_fleets_tui.actions.commands import CommandError
from dstack_fleets_tui.app.in_terminal import TerminalApp
from dstack_fleets_tui.app.trouble import Trouble
from dstack_fleets_tui.live.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from textual.worker import Worker

    from dstack_api_client.model.snapshot import Snapshot
    from dstack_fleets_tui.app.acting import Given
    from dstack_fleets_tui.settings.settings import Settings

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


class ReadingApp(TerminalApp):
    """The part of the app that reads; arguments as for `ActingApp`."""

    @dataclass
    class Read(Message):
        """A poll brought something, be it only a new state of the connection."""

        update: Update
        connection: Connection
        """On which it was read."""

    def __init__(
        self, connection: Connection | ConfigError, settings: Settings, given: Given
    ) -> None:
        super().__init__(connection, settings, given)
        self.sessions += map(self._session_of, given.beside)
        self._again = given.again
        self._open_source = given.open_source
        self._trouble = Trouble(self)
        self._loaded = False

    def _connect(self) -> None:
        if isinstance(self.session.connection, ConfigError):
            self._trouble.show(self.session.connection.message, self.session.connection.hint)
            return
        self._trouble.end()
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
                self._trouble.show(error.message, error.hint)
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
            gc.freeze()  # else a collection walks through all modules amid the first page
            try:
                await session.poller.run()
            finally:
                if looking is not None:
                    looking.cancel()
                self._end_own_reads(session)
                await self.changing.finish(soon=not self.is_running)

    async def closed(self) -> None:
        """Waits until all connections are closed, once the app has ended.

        Only then is known what became of a change that was being made.
        """
        reading = [each.reading.wait() for each in self.sessions if each.reading is not None]
        await asyncio.gather(*reading, return_exceptions=True)

    def _end_own_reads(self, session: Session) -> None:
        """Ends what screens read beside the feed: it is of the project in hand."""
        from dstack_fleets_tui.screens.parts import own_reads

        if session is self.session or session not in self.sessions:
            for worker in list(self.workers):
                if worker.group == own_reads.GROUP:
                    worker.cancel()

    async def on_reading_app_read(self, message: Read) -> None:
        """Takes over what a poll brought, and has the screen in front show it.

        With many replicas each of this takes its time: others have their turn in between.
        """
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
            self._follow(session, update)
            await asyncio.sleep(0)
            self._alert(session, session.look(update, before, self.now()))
            await asyncio.sleep(0)
            if not self.screen_stack:
                return
            self._show_title()
            self._notice_unreadable(update.snapshot)
            self._tell_of_clocks(session)
        if update.health.state in _TROUBLE and not self.several:
            self._trouble.show(update.health.message or "", update.health.hint or "")
            return
        self._trouble.end()
        if session.lookout.wants_to_the_front(session.snapshot):
            self.switch_mode(places.PROBLEMS)
        screen = self._in_front
        if screen is not None and screen.shows(session):
            screen.show()
            screen.focus_on()

    def _follow(self, session: Session, update: Update) -> None:
        """Has trends go on, and begin before the dashboard did."""
        session.follow(update)
        steps = session.past(update)
        if steps is not None:
            self.run_worker(
                partial(self._fill_trends, session, steps),  # type: ignore[arg-type]
                group=f"past {session.project}",
                exclusive=True,
            )

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
            self._follow(self.session, update)
            self.session.look(update, before, self.now())
            before = update.snapshot
        self.read(self.session, again)

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

    def do_refresh(self, argument: str) -> None:
        """Reads everything again; where nothing was read yet, looks for the connection again."""
        if not self.several and (self._trouble.is_open or self.snapshot is None):
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
