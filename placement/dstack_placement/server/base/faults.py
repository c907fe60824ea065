"""Unexpected errors of the add-on itself: dstack's own rule goes on, and people hear of them."""

from __future__ import annotations

import asyncio
import time
import traceback
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from dstack._internal.utils.common import get_current_datetime
from dstack._internal.utils.logging import get_logger
from pydantic import ValidationError
from sqlalchemy import exc

from dstack_placement.server.errors import RunBusyError

logger = get_logger("dstack.placement")

#: Seconds between two log entries on the same thing.
_LOG_EVERY = 60.0
#: What has not happened again for so long is over.
_OVER_AFTER = timedelta(minutes=10)
#: Most faults, and most log entries, that are remembered.
_MOST = 1000
_PACKAGE = Path(__file__).parents[2]


class Subject(Protocol):
    """The run that something is done for."""

    id: Any
    run_name: Any


@dataclass(frozen=True, slots=True)
class Fault:
    """What fails in placing a run.

    Attributes:
        since: When it first failed.
        last_at: When it failed last.
        message: What fails and where, without any value of the run.
    """

    since: datetime
    last_at: datetime
    message: str


class Faults:
    """The faults of this server, by run.

    Args:
        monotonic: A clock for the time between log entries.
        now: The time.
    """

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = get_current_datetime,
    ) -> None:
        self._monotonic = monotonic
        self._now = now
        self._faults: OrderedDict[tuple[uuid.UUID, str], Fault] = OrderedDict()
        self._logged: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def __bool__(self) -> bool:
        """Whether anything fails, or has of late."""
        return bool(self._faults)

    def of(self, run_id: uuid.UUID) -> Fault | None:
        """What fails of a run, the latest of several; None when nothing does."""
        now = self._now()
        own = [
            fault
            for (run, _), fault in self._faults.items()
            if run == run_id and now - fault.last_at < _OVER_AFTER
        ]
        return max(own, key=lambda fault: fault.last_at, default=None)

    def guarded(
        self,
        what: str,
        run: Subject | None,
        name: str | None = None,
        *,
        expected: type[Exception] = RunBusyError,
    ) -> _Guard:
        """Notes and swallows an unexpected error of the block.

        Errors of a database that can't be reached or is busy are raised, and so is a run that
        another server keeps: dstack's own code would fail on them too, and begins again later.

        Args:
            what: What the block does, as in "choosing a lane".
            run: The run; None where it is not stored yet.
            name: Its name, where there is no run.
            expected: What the block raises for the person who asks.
        """
        name = str(run.run_name if run is not None else name)
        return _Guard(self, what, run, name, (expected, RunBusyError))

    def forget(self, what: str, run: Subject) -> None:
        """Ends a fault: what failed has worked."""
        if self._faults:
            self._faults.pop((run.id, what), None)

    def note(self, what: str, run: Subject | None, name: str, error: Exception) -> None:
        """Remembers an error, and logs it unless it was logged within a minute."""
        now = self._now()
        if run is not None:
            message = f"{what} fails ({_place_of(error)})"
            known = self._faults.pop((run.id, what), None)
            if known is None or now - known.last_at >= _OVER_AFTER:
                known = Fault(now, now, message)
            self._faults[run.id, what] = replace(known, last_at=now, message=message)
            if len(self._faults) > _MOST:
                self._faults.popitem(last=False)
        at, unlogged = self._logged.pop((name, what), (None, 0))
        moment = self._monotonic()
        if at is not None and moment - at < _LOG_EVERY:
            self._logged[name, what] = (at, unlogged + 1)
            return
        self._logged[name, what] = (moment, 0)
        if len(self._logged) > _MOST:
            self._logged.popitem(last=False)
        again = f" ({unlogged} times more in the last minute)" if unlogged else ""
        trace = (type(error), _without_values(error), error.__traceback__)
        logger.error(
            "Run %s: %s failed, dstack's own rule applies%s", name, what, again, exc_info=trace
        )


class _Guard:
    """A block whose unexpected errors are noted."""

    def __init__(
        self,
        faults: Faults,
        what: str,
        run: Subject | None,
        name: str,
        expected: tuple[type[Exception], ...],
    ) -> None:
        self._faults, self._what, self._run, self._name = faults, what, run, name
        self._expected = expected

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> bool:
        if error is None:
            if self._run is not None:
                self._faults.forget(self._what, self._run)
            return False
        if not isinstance(error, Exception) or isinstance(error, self._expected):
            return False
        if _passes(error):
            return False
        self._faults.note(self._what, self._run, self._name, error)
        return True


def _passes(error: Exception) -> bool:
    """Whether an error is one of a database that is not there or is busy."""
    if isinstance(error, (exc.TimeoutError, exc.InterfaceError, OSError, asyncio.TimeoutError)):
        return True
    if not isinstance(error, exc.DBAPIError):
        return False
    missing = str(error.orig).startswith("no such ")  # SQLite says so of tables and columns
    return error.connection_invalidated or (isinstance(error, exc.OperationalError) and not missing)


def _without_values(error: Exception) -> Exception:
    """An error to be logged: one of a spec that can't be read would quote its environment."""
    if not isinstance(error, ValidationError):
        return error
    places = [".".join(map(str, each["loc"])) for each in error.errors(include_input=False)]
    return ValueError(f"{error.title} has wrong values at {', '.join(places[:10])}")


def _place_of(error: Exception) -> str:
    """The kind of an error and the add-on's line that it came through last."""
    kind = type(error).__name__
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if _PACKAGE in Path(frame.filename).parents and frame.filename != __file__
    ]
    return f"{kind}, {Path(own[-1].filename).name}:{own[-1].lineno}" if own else kind


#: The faults of this server.
faults = Faults()
