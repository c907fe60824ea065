"""For how long dstack tries again to start a replica that finds no capacity.

The rule is dstack's own (0.22.5, `_should_retry_job` and `_is_retry_duration_exceeded` in
`server/background/pipeline_tasks/runs/active.py`): for a replica that has never had an instance,
`retry.duration` counts from `submitted_at` of the run, of a scheduled one from the time that
triggered it, not from the attempt. Past it one such replica ends the run with
`retry_limit_exceeded`. Without a duration it is `DEFAULT_RETRY_DURATION` of
`core/models/profiles.py`, and without events it is all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec

from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.model.configuration import duration
from dstack_api_client.model.retries import RetryEvent, is_for, retry_in

#: Seconds of a `retry` that does not say how many.
DEFAULT_DURATION = 3600
#: A start that fails may be tried again for so long before it succeeds.
LONG_START = timedelta(minutes=10)
_NONE = "the spec has no `retry`"


@dataclass(frozen=True, slots=True)
class Retry:
    """What a service's `retry` is worth to a replica that can't start.

    Attributes:
        seconds: Its duration; None where nothing is retried for lack of capacity.
        since: What it counts from; None where that is not known.
        given: Whether the spec has one, be it for something else.
        errors: Whether a replica that fails for another reason is started again.
    """

    seconds: float | None
    since: datetime | None
    given: bool = False
    errors: bool = False

    def holds(self, now: datetime) -> bool:
        """Whether such a replica is started again, and the service goes on."""
        return self.seconds is not None and not self._is_over(now)

    def lack(self, now: datetime) -> str:
        """Why it does not hold, as a part of a sentence; empty where it does."""
        if self.seconds is None:
            return "its `retry` is not for `no-capacity`" if self.given else _NONE
        if self.since is None or not self._is_over(now):
            return ""
        return (
            f"its `retry` of {_in_words(self.seconds)} is over: it counts from when the service"
            f" began, {_moment(self.since)}"
        )

    def lack_soon(self, now: datetime) -> str:
        """Why it does not hold for as long as a start may take, as `lack`."""
        if self.seconds is None or self._ends_at is None or not self._is_over(now + LONG_START):
            return ""
        return f"its `retry` of {_in_words(self.seconds)} is over at {_moment(self._ends_at)}"

    @property
    def lack_of_errors(self) -> str:
        """Why a replica that fails for another reason ends the service; empty where it does not."""
        if self.errors:
            return ""
        return "its `retry` is not for `error`" if self.given else _NONE

    @property
    def end(self) -> str:
        """What comes after it, a sentence; empty where that is not known."""
        if self._ends_at is None:
            return ""
        return (
            f"Its `retry` is over at {_moment(self._ends_at)}: a replica that can't start then ends"
            " the whole service."
        )

    @property
    def some_end(self) -> str:
        """The same where it is not known when it is over."""
        return "Once its `retry` is over, a replica that can't start ends the whole service."

    @property
    def _ends_at(self) -> datetime | None:
        if self.seconds is None or self.since is None:
            return None
        try:
            return self.since + timedelta(seconds=self.seconds)
        except OverflowError:  # after all years that a time can be of
            return None

    def _is_over(self, now: datetime) -> bool:
        return self._ends_at is not None and now > self._ends_at


def retry_of(edit: ServiceEdit) -> Retry:
    """What the edited service's `retry` is worth."""
    retry = retry_in(edit.spec)
    return Retry(
        _seconds(retry),
        _since(edit.base.resource),
        given=bool(retry),
        errors=is_for(retry, RetryEvent.ERROR),
    )


def _seconds(retry: Any) -> float | None:
    if not is_for(retry, RetryEvent.NO_CAPACITY):
        return None
    seconds = retry.get("duration") if isinstance(retry, Mapping) else None
    return seconds if isinstance(seconds, int | float) else DEFAULT_DURATION


def _since(resource: Mapping[str, Any]) -> datetime | None:
    for name in ("next_triggered_at", "submitted_at"):
        text = resource.get(name)
        if text is not None:
            try:
                at = msgspec.convert(text, datetime)
            except msgspec.ValidationError:  # of another version: nothing is known then
                return None
            return at if at.tzinfo is not None else at.replace(tzinfo=timezone.utc)
    return None


def _moment(at: datetime) -> str:
    return f"{at.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def _in_words(seconds: float) -> str:
    """As configurations have it, with a space: `1 h`."""
    text = duration(seconds) or ""
    return f"{text[:-1]} {text[-1:]}"
