"""What is read for one screen only, beside the feed: how its failures are told."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TypeVar

from dstack_api_client import errors, fault_log

T = TypeVar("T")


def utc_now() -> datetime:
    """The time, with its zone."""
    return datetime.now(timezone.utc)


def seconds_since(moment: datetime, now: datetime) -> float:
    """Seconds since a moment; without end where the clock was set back since.

    What waits for so many seconds would otherwise wait for as long as the clock was set back by.
    """
    seconds = (now - moment).total_seconds()
    return seconds if seconds >= 0 else math.inf


@dataclass(frozen=True)
class Failure:
    """Why a read does not succeed, and since when.

    Attributes:
        message: What happened, one sentence.
        hint: What to do, one sentence.
        since: When it failed first after it had last gone well.
    """

    message: str
    hint: str
    since: datetime

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


def unexpected(error: BaseException, what: str) -> errors.UnexpectedError:
    """The error that stands for a fault of this client, logged without what it was about.

    Args:
        error: What was raised.
        what: What could not be done, without a full stop.
    """
    where = fault_log.write(error)
    return errors.UnexpectedError(
        f"{what} ({fault_log.place_of(error)}).",
        f"Report it with {where}."
        if where is not None
        else "Report it, with the server's version.",
    )


class Attempts:
    """Tries one kind of read again and again; a failure is a state with an age.

    Args:
        now: The clock.

    Attributes:
        read_at: When it last went well; None if never.
        failure: Why it does not now.
    """

    def __init__(self, now: Callable[[], datetime] = utc_now) -> None:
        self._now = now
        self.read_at: datetime | None = None
        self.failure: Failure | None = None

    async def of(self, read: Awaitable[T]) -> T | None:
        """Tries once.

        Args:
            read: What is read.

        Returns:
            What it gave; None when it failed, and `failure` says why.
        """
        try:
            given = await read
        except errors.ApiError as error:
            failed: errors.ApiError = error
        except Exception as error:
            failed = unexpected(error, "The server's answer could not be used")
        else:
            self.read_at, self.failure = self._now(), None
            return given
        since = self.failure.since if self.failure is not None else self._now()
        self.failure = Failure(failed.message, failed.hint, since)
        return None
