"""One project that the dashboard reads: where it is, what was read last, and what is kept of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from dstack_api_client.connect.connection import ConfigError, Connection
from dstack_api_client.feed.update import ConnectionState, Health, Update

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from textual.worker import Worker

    from dstack_api_client.model.snapshot import Snapshot
    from dstack_api_client.problems.model import Problem
    from dstack_api_client.transport import wire
    from dstack_api_client.trends.watch import TrendWatch
    from dstack_fleets_tui.live.lookout import Lookout
    from dstack_fleets_tui.live.poller import Poller
    from dstack_fleets_tui.live.source import Source


class Session:
    """One project.

    Args:
        connection: Where it is, or why that is not known.
        now: The time.
        losses: Whether services are problems that would not survive the loss of a fleet.

    Attributes:
        source: What is read of the server; None until it is open.
        poller: What polls it.
        reading: The task that reads it.
        snapshot: The latest snapshot.
        health: The state of the connection.
        clocks_told: Whether it was said that this machine's clock is not the server's.
    """

    def __init__(
        self, connection: Connection | ConfigError, now: datetime, *, losses: bool
    ) -> None:
        self.connection = connection
        self.source: Source | None = None
        self.poller: Poller[Update] | None = None
        self.reading: Worker[None] | None = None
        self.snapshot: Snapshot | None = None
        self.health = Health(ConnectionState.CONNECTING, now)
        self._losses = losses
        self.clocks_told = False
        self._where: tuple[str, str] | None = None

    @cached_property
    def lookout(self) -> Lookout:
        """Looks for what is wrong."""
        from dstack_fleets_tui.live.lookout import Lookout

        return Lookout(losses=self._losses)

    @cached_property
    def trends(self) -> TrendWatch:
        """What the last 30 minutes were."""
        from dstack_api_client.trends.watch import TrendWatch

        return TrendWatch()

    def goes_on(self, connection: Connection, now: datetime) -> None:
        """Goes on with a connection: what was read elsewhere must not stand under its name."""
        self.connection = connection
        before, self._where = self._where, (connection.url, connection.project)
        if before not in (None, self._where):
            self.source = self.snapshot = None
            self.health = Health(ConnectionState.CONNECTING, now)
            self.forget()
            self.clocks_told = False

    def forget(self) -> None:
        """Forgets what was seen: another moment of a replay is shown."""
        self.__dict__.pop("trends", None)
        self.lookout.begin()

    def follow(self, update: Update) -> None:
        """Has trends go on."""
        if update.snapshot is not None:
            self.trends.look(update.snapshot, update.difference)

    def look(self, update: Update, before: Snapshot | None, now: datetime) -> Sequence[Problem]:
        """Has what is wrong be looked for; the critical problems that are new."""
        if update.snapshot is None:
            return ()
        return self.lookout.look(update, before, self.server_now(now), self.events)

    def past(self, update: Update) -> Iterator[None] | None:
        """The steps that fill the time before the first snapshot; None where nothing is to fill."""
        if update.snapshot is None:
            return None
        return self.trends.fill(update.snapshot, self.events)

    @property
    def project(self) -> str:
        """The project's name, as far as known."""
        return project_of(self.connection)

    @property
    def problems(self) -> Sequence[Problem]:
        """What is wrong in the latest snapshot, worst first."""
        return self.lookout.problems

    @property
    def events(self) -> Sequence[wire.Event]:
        """The events that were read so far, the oldest first."""
        return self.source.feed.events if self.source is not None else ()

    @property
    def failure(self) -> str:
        """Why the last poll failed and what to do, if it did."""
        return " ".join(part for part in (self.health.message, self.health.hint) if part)

    def server_now(self, now: datetime) -> datetime:
        """The time by the server's clock: all that it tells of is by that."""
        ahead = self.snapshot.clock_ahead if self.snapshot is not None else 0
        return now + timedelta(seconds=ahead)

    def focus(
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


def project_of(connection: Connection | ConfigError) -> str:
    """The project's name, as far as known."""
    return "" if isinstance(connection, ConfigError) else connection.project
