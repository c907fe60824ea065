"""Series of figures over the last 30 minutes, in equal steps by the server's clock."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import NamedTuple

from dstack_api_client.model.replica import ReplicaKey

#: Seconds of a step, and how many complete ones are kept.
STEP = 30
STEPS = 60
#: Slots of a series: the complete steps, and the one that goes on.
_SLOTS = STEPS + 1
#: Of more steps without a snapshot than that, nothing is known.
_BRIDGED = 2
#: Series that are kept at most, about 0.4 kB each.
_MOST = 16_384
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Kind(str, Enum):
    """What has a trend."""

    SERVICE = "service"
    FLEET = "fleet"
    REPLICA = "replica"


class Subject(NamedTuple):
    """One thing with trends: of services and fleets the name, which outlives a run."""

    kind: Kind
    name: str


class Measure(str, Enum):
    """A figure that has a trend."""

    READY = "ready"
    DESIRED = "desired"
    PRICE = "price"
    """Dollars per hour."""
    BUSY = "busy"
    """GPUs in use; where a fleet has none, blocks."""
    TOTAL = "total"
    """All GPUs, or blocks."""
    REPLICAS = "replicas"
    """Replicas of services in a fleet."""
    LOAD = "load"
    """Requests that a router has a worker work on."""
    REQUESTS = "requests"
    """Requests per second that a gateway counted."""
    GPU = "gpu"
    """Percent of the GPUs of a replica."""


#: Of these the least of a step counts, of all others the most: what was short is to be seen.
_LEAST = frozenset({Measure.READY})


def service_named(name: str) -> Subject:
    """A service."""
    return Subject(Kind.SERVICE, name)


def fleet_named(name: str) -> Subject:
    """A fleet."""
    return Subject(Kind.FLEET, name)


def replica_of(key: ReplicaKey) -> Subject:
    """A replica."""
    return Subject(Kind.REPLICA, f"{key.run_id}/{key.replica_num}.{key.job_num}")


class Trend(NamedTuple):
    """One series.

    Attributes:
        values: One for each complete step, the oldest first; None where nothing is known.
        number: The number of the newest of these steps, counted since 1970.
    """

    values: tuple[float | None, ...]
    number: int

    @property
    def last(self) -> float | None:
        """The newest value."""
        return self.values[-1]

    @property
    def known(self) -> list[float]:
        """The values that are known."""
        return [value for value in self.values if value is not None]

    @property
    def until(self) -> datetime:
        """When the newest step ended."""
        return _EPOCH + timedelta(seconds=(self.number + 1) * STEP)

    @property
    def since(self) -> datetime | None:
        """When the oldest step began of which something is known."""
        for at, value in enumerate(self.values):
            if value is not None:
                return self.until - timedelta(seconds=(len(self.values) - at) * STEP)
        return None


#: Of which nothing is known.
NO_TREND = Trend((None,) * STEPS, 0)


class Trends:
    """The series of a project, each as long as the next.

    All of them stand at the same step, so that to go on by one costs a write for each.

    Attributes:
        step: The number of the step that goes on, counted since 1970; None before the first.
        version: Grows whenever what `trend` gives may be another.
    """

    def __init__(self) -> None:
        self.step: int | None = None
        self.version = 0
        self._series: dict[tuple[Subject, Measure], array[float]] = {}
        self._read: dict[tuple[Subject, Measure], Trend] = {}

    def __len__(self) -> int:
        return len(self._series)

    def reach(self, at: datetime) -> bool:
        """Goes on to a moment.

        A clock that is set back takes what is known along with it.

        Args:
            at: The moment, by the server's clock.

        Returns:
            Whether a step has begun, so that all figures are to be noted.
        """
        number = step_of(at)
        if self.step is None:
            self.step = number
            self.version += 1
            return True
        if number == self.step or number == self.step - 1:  # two looks at clocks differ
            return False
        self._read.clear()
        self.version += 1
        if number < self.step:
            self._shift(number)
            return True
        if number - self.step > STEPS:
            self._series.clear()
        for new in range(self.step + 1, number + 1) if self._series else ():
            bridged = number - self.step - 1 <= _BRIDGED and new < number
            for series in self._series.values():
                series[new % _SLOTS] = series[self.step % _SLOTS] if bridged else math.nan
        self.step = number
        for key in [key for key, series in self._series.items() if all(map(math.isnan, series))]:
            del self._series[key]
        return True

    def _shift(self, number: int) -> None:
        """Has the same steps end earlier."""
        step = self.step or 0
        for key, series in self._series.items():
            moved = array("f", series)
            for back in range(_SLOTS):
                moved[(number - back) % _SLOTS] = series[(step - back) % _SLOTS]
            self._series[key] = moved
        self.step = number

    def note(self, subject: Subject, measure: Measure, value: float) -> None:
        """Notes a figure in the step that goes on."""
        series = self._of(subject, measure)
        if series is None or self.step is None:
            return
        at = self.step % _SLOTS
        if math.isnan(series[at]):
            series[at] = value
        else:
            series[at] = min(series[at], value) if measure in _LEAST else max(series[at], value)

    def fill(
        self, subject: Subject, measure: Measure, points: Iterable[tuple[datetime, float]]
    ) -> None:
        """Fills steps of which nothing is known, each with the mean of its points.

        Args:
            subject: The thing.
            measure: The figure.
            points: Moments and values, in any order; those of the step that goes on don't count.
        """
        if self.step is None:
            return
        by_step: dict[int, list[float]] = {}
        for at, value in points:
            number = step_of(at)
            if self.step - STEPS <= number < self.step:
                by_step.setdefault(number, []).append(value)
        series = self._of(subject, measure) if by_step else None
        if series is None:
            return
        for number, values in by_step.items():
            if math.isnan(series[number % _SLOTS]):
                series[number % _SLOTS] = sum(values) / len(values)
        self._read.pop((subject, measure), None)
        self.version += 1

    def trend(self, subject: Subject, measure: Measure) -> Trend:
        """The complete steps of a series; the same object until a step ends or is filled."""
        key = (subject, measure)
        read = self._read.get(key)
        if read is None:
            read = self._read[key] = self._trend(key)
        return read

    def _trend(self, key: tuple[Subject, Measure]) -> Trend:
        series = self._series.get(key)
        if series is None or self.step is None:
            return NO_TREND
        at = (self.step + 1) % _SLOTS
        values = (series[at:] + series[:at]).tolist()[:STEPS]
        if any(map(math.isnan, values)):
            known = [None if math.isnan(value) else value for value in values]
            return Trend(tuple(known), self.step - 1)
        return Trend(tuple(values), self.step - 1)

    def _of(self, subject: Subject, measure: Measure) -> array[float] | None:
        """The series, a new one where there is none; None where there are too many."""
        key = (subject, measure)
        found = self._series.get(key)
        if found is None and len(self._series) < _MOST:
            found = self._series[key] = array("f", [math.nan]) * _SLOTS
            self._read.pop(key, None)
            self.version += 1
        return found


def step_of(at: datetime) -> int:
    """The number of the step that a moment is in."""
    return math.floor(at.timestamp() / STEP)


def moments(step: int) -> list[datetime]:
    """The middles of the complete steps before one, the oldest first."""
    return [
        _EPOCH + timedelta(seconds=(number + 0.5) * STEP) for number in range(step - STEPS, step)
    ]
