"""What the header says of the connection."""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import urlsplit

from dstack_api_client.clock import seconds_since
from dstack_api_client.connect.connection import ConfigError, Connection
from dstack_api_client.feed.feed import ConnectionState, Health
from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui.words import words
from dstack_widgets.screen.status_header import Connection as ConnectionWord
from dstack_widgets.screen.status_header import HeaderState

#: What the header says of a state of the connection.
_WORDS: dict[ConnectionState, ConnectionWord] = {
    ConnectionState.CONNECTING: "connecting",
    ConnectionState.LIVE: "live",
    ConnectionState.STALE: "stale",
    ConnectionState.UNAUTHORISED: "unauthorised",
    ConnectionState.NO_PROJECT: "no project",
    ConnectionState.UNSUPPORTED: "too old",
}

#: Intervals after which what is shown is late.
_INTERVALS = 3


def header_state(
    connection: Connection | ConfigError,
    health: Health,
    snapshot: Snapshot | None,
    *,
    now: datetime,
    interval: float,
    paused: bool,
    read_only: bool,
    dot: str,
) -> HeaderState:
    """What the header shows.

    Args:
        connection: Where it is connected to, or why that is not known.
        health: How the last polls went.
        snapshot: What was read last.
        now: The time by this machine's clock.
        interval: Seconds between two polls.
        paused: Whether reading was stopped.
        read_only: Whether nothing may be changed.
        dot: What stands between two things.
    """
    last = health.last_success
    extra = ["read-only"] if read_only else []
    if snapshot is not None:
        extra.append(words.abilities(snapshot.capabilities, dot))
        if snapshot.placement_failure:
            extra.append("placement not read")
        if snapshot.unreadable:
            extra.append(f"{len(snapshot.unreadable)} unreadable")
    late = last is not None and seconds_since(last, now) > _INTERVALS * interval
    # By the server's clock, as the times of events beside it.
    ahead = timedelta(seconds=snapshot.clock_ahead if snapshot is not None else 0)
    return HeaderState(
        project=project_of(connection),
        host=host_of(connection),
        now=(now + ahead).astimezone(),
        connection=_state_word(connection, health, paused=paused, late=late),
        observed_at=(last + ahead).astimezone() if last else None,
        version=(snapshot.server.version or "") if snapshot else "",
        extra=f" {dot} ".join(filter(None, extra)),
    )


def project_of(connection: Connection | ConfigError) -> str:
    """The project's name, as far as known."""
    return "" if isinstance(connection, ConfigError) else connection.project


def host_of(connection: Connection | ConfigError) -> str:
    """The server's host and port, as far as known."""
    return "" if isinstance(connection, ConfigError) else urlsplit(connection.url).netloc


def _state_word(
    connection: Connection | ConfigError, health: Health, *, paused: bool, late: bool
) -> ConnectionWord:
    if isinstance(connection, ConfigError):
        return "unreachable"
    if health.state is ConnectionState.LIVE and paused:
        return "paused"
    if health.state is ConnectionState.LIVE and late:
        return "late"
    if health.state is ConnectionState.CONNECTING and health.message:
        return "unreachable"
    return _WORDS[health.state]
