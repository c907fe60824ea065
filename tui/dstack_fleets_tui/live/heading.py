"""What the header says of the connection."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dstack_api_client.clock import seconds_since
from dstack_api_client.connect.connection import ConfigError, Connection
from dstack_api_client.feed.update import ConnectionState, Health
from dstack_fleets_tui.live.session import Session, project_of
from dstack_widgets.screen.status_header import Connection as ConnectionWord
from dstack_widgets.screen.status_header import HeaderState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dstack_api_client.model.snapshot import Snapshot
    from dstack_api_client.recordings.replay import Replay

#: What the header says of a state of the connection.
_WORDS: dict[ConnectionState, ConnectionWord] = {
    ConnectionState.CONNECTING: "connecting",
    ConnectionState.LIVE: "live",
    ConnectionState.STALE: "stale",
    ConnectionState.UNAUTHORISED: "unauthorised",
    ConnectionState.NO_PROJECT: "no project",
    ConnectionState.UNSUPPORTED: "too old",
}

#: The words, the worst last.
_BADNESS: Sequence[ConnectionWord] = (
    "live",
    "paused",
    "connecting",
    "late",
    "stale",
    "unreachable",
    "too old",
    "no project",
    "unauthorised",
)

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
    dot: str,
    mode: str = "",
) -> HeaderState:
    """What the header shows.

    Args:
        connection: Where it is connected to, or why that is not known.
        health: How the last polls went.
        snapshot: What was read last.
        now: The time by this machine's clock.
        interval: Seconds between two polls.
        paused: Whether reading was stopped.
        dot: What stands between two things.
        mode: What is said loudly.
    """
    last = health.last_success
    extra: list[str] = []
    if snapshot is not None:
        from dstack_fleets_tui.words import words

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
        mode=mode,
    )


def of_several(
    sessions: Sequence[Session],
    *,
    now: datetime,
    interval: float,
    paused: bool,
    mode: str,
) -> HeaderState:
    """What the header shows of several projects: the worst of their connections, and which failed.

    Args:
        sessions: They.
        now: The time by this machine's clock.
        interval: Seconds between two polls.
        paused: Whether reading was stopped.
        mode: What is said loudly.
    """
    states = [_state_of(each, now, interval, paused=paused) for each in sessions]
    names = (
        each.project if word in ("live", "paused") else f"{each.project} ({word})"
        for each, word in zip(sessions, states, strict=True)
    )
    read = [each.health.last_success for each in sessions]
    hosts = {host_of(each.connection) for each in sessions}
    return HeaderState(
        project=", ".join(names),
        host=hosts.pop() if len(hosts) == 1 else "",
        now=now.astimezone(),
        connection=max(states, key=_BADNESS.index),
        observed_at=min((each for each in read if each is not None), default=None),
        mode=mode,
    )


def _state_of(session: Session, now: datetime, interval: float, *, paused: bool) -> ConnectionWord:
    last = session.health.last_success
    late = last is not None and seconds_since(last, now) > _INTERVALS * interval
    return _state_word(session.connection, session.health, paused=paused, late=late)


def replay_word(replay: Replay, *, ascii_only: bool) -> str:
    """`REPLAY 2026-11-30 x10`, with `end` where all was played."""
    parts = [f"REPLAY {replay.now().astimezone():%Y-%m-%d}"]
    if replay.speed != 1:
        parts.append(f"{'x' if ascii_only else '×'}{replay.speed:g}")
    if replay.ended:
        parts.append("end")
    return " ".join(parts)


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
