"""Moving in the time of a recording that is played."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime, time, timedelta

from dstack_api_client.feed.update import Update
from dstack_api_client.recordings.replay import FASTEST, SLOWEST, Replay
from dstack_api_client.trends.trend import STEP, STEPS
from dstack_fleets_tui.actions.commands import CommandError
from dstack_fleets_tui.host.host import Host

#: How much of what was before a moment is seen too: as far back as trends go.
_BACK = timedelta(seconds=STEP * STEPS)
_MOVE = re.compile(r"([+-])(\d{1,6})([smh])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours"}
_WRITE = "Write a time as 03:12 or 03:12:30, or +1m, -30s, start, end."


class Replaying:
    """What keys and commands do with a replay.

    Args:
        app: The app.
        rewind: Shows the moment that the replay stands at, after some that were before it.
    """

    def __init__(self, app: Host, rewind: Callable[[Iterable[Update]], None]) -> None:
        self._app = app
        self._rewind = rewind

    def begin(self) -> None:
        """Says what is played, if anything is."""
        replay = self._app.replay
        if replay is None:
            return
        cut = " Its end is missing or damaged." if replay.cut else ""
        told = f"This was recorded from {span(replay)}.{cut} p pauses, :at goes to a time."
        self._app.notify(told, severity="warning" if cut else "information", markup=False)

    def step(self, *, later: bool) -> None:
        """Goes a poll on or back, and pauses.

        Raises:
            CommandError: Nothing is played, or there is no such poll.
        """
        replay = self._replay()
        if not self._app.paused:
            self._app.do_pause("")
        at = replay.neighbour(later=later)
        if at is None:
            raise CommandError(f"The recording {'ends' if later else 'begins'} here.")
        self._go(replay, at)

    def at(self, text: str) -> None:
        """Goes to a time.

        Args:
            text: As it was typed.

        Raises:
            CommandError: Nothing is played, or that is no time of the recording.
        """
        replay = self._replay()
        self._go(replay, _time(text, replay))

    def speed(self, text: str) -> None:
        """Plays it faster or slower.

        Args:
            text: How many times as fast, as it was typed.

        Raises:
            CommandError: Nothing is played, or it can't be played so.
        """
        replay = self._replay()
        try:
            speed = float(text.strip().lstrip("x×") or "1")
        except ValueError:
            speed = 0.0
        if not SLOWEST <= speed <= FASTEST:
            raise CommandError(f"A speed is a number from {SLOWEST:g} to {FASTEST:g}.")
        replay.play(speed)

    def _go(self, replay: Replay, at: datetime) -> None:
        self._rewind(replay.go(at, back=_BACK))

    def _replay(self) -> Replay:
        if self._app.replay is None:
            text = "This is for replays: start `dstack-fleets-tui --replay FILE`."
            raise CommandError(text)
        return self._app.replay


def _time(text: str, replay: Replay) -> datetime:
    """The time of a recording that a text means."""
    ends = {"start": replay.first, "end": replay.last}
    if text in ends:
        return ends[text]
    move = _MOVE.fullmatch(text)
    if move is not None:
        by = timedelta(**{_UNITS[move[3]]: int(f"{move[1]}{move[2]}")})
        return min(max(replay.now() + by, replay.first), replay.last)
    try:
        hour = time.fromisoformat(text)
    except ValueError:
        raise CommandError(f"There is no such time. {_WRITE}" if text else _WRITE) from None
    now = replay.now().astimezone()
    days = sorted((0, -1, 1), key=abs)
    for day in days:
        found = datetime.combine((now + timedelta(days=day)).date(), hour).astimezone()
        # A time without seconds is all of its minute.
        if replay.first - timedelta(minutes=1) < found <= replay.last:
            return max(found, replay.first)
    raise CommandError(f"The recording is from {span(replay)}.")


def span(replay: Replay) -> str:
    """`2026-11-30 03:10:02 to 03:22:40`, by this machine's zone."""
    first, last = replay.first.astimezone(), replay.last.astimezone()
    same = first.date() == last.date()
    return f"{first:%Y-%m-%d %H:%M:%S} to {last:{'%H:%M:%S' if same else '%Y-%m-%d %H:%M:%S'}}"
