"""What is wrong now over all services and fleets of a project, worst first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from dstack_api_client.analysis.health import Health, service_healths
from dstack_api_client.analysis.moment import Moment
from dstack_api_client.analysis.since import Event, Since
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.fleets import of_fleets
from dstack_api_client.problems.impact import rated
from dstack_api_client.problems.model import Kind, Problem, Severity
from dstack_api_client.problems.outages import outages
from dstack_api_client.problems.routers import Routers
from dstack_api_client.problems.services import of_services

__all__ = ["Kind", "Problem", "ProblemWatch", "Severity", "problems_of", "worst_first"]

_KINDS = {kind: place for place, kind in enumerate(Kind)}
_NEVER = Since()


def problems_of(
    snapshot: Snapshot,
    now: datetime,
    since: Since | None = None,
    healths: Mapping[str, Health] | None = None,
    others: Iterable[Problem] = (),
) -> tuple[Problem, ...]:
    """Finds what is wrong.

    What one cause explains is one problem: replicas on an instance that can't be reached are
    counted there, and replicas of a service that lack the same thing stand together.

    Args:
        snapshot: What is.
        now: The time, to tell what takes too long.
        since: What events told of since when things are so.
        healths: How services are, by `service_healths`, where that is known already.
        others: What was found elsewhere.

    Returns:
        The problems, worst first.
    """
    since = _NEVER if since is None else since
    healths = service_healths(snapshot, since) if healths is None else healths
    return _found(snapshot, Moment(now), since, healths, others)


def _found(
    snapshot: Snapshot,
    time: Moment,
    since: Since,
    healths: Mapping[str, Health],
    others: Iterable[Problem],
) -> tuple[Problem, ...]:
    fleets = of_fleets(snapshot, time, since)
    routers = Routers(snapshot, time, since)
    services = of_services(snapshot, time, since, fleets.unreachable | routers.told)
    of_routers = routers.problems(fleets.unreachable | services.replicas)
    found = [*fleets.problems, *services.problems, *of_routers, *others]
    found += outages(snapshot, time, since, healths, tuple(found))
    return worst_first(rated(problem, snapshot, healths) for problem in found)


def worst_first(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Sorts problems by what users feel, how bad they are, and how long they have lasted."""
    return tuple(sorted(problems, key=_place))


class ProblemWatch:
    """Finds what is wrong again and again, and remembers since when.

    A look at what is as it was costs next to nothing until something has lasted for so long that
    it counts.

    Args:
        others: Finds more at each look.

    Attributes:
        problems: What the last look found; the same object as long as that is the same.
        healths: How the services were at that look, by the id of their run; as `problems`.
        looks: How often all was looked through.
    """

    def __init__(
        self, others: Callable[[Snapshot], Iterable[Problem]] = lambda snapshot: ()
    ) -> None:
        self._others = others
        self.problems: tuple[Problem, ...] = ()
        self.healths: Mapping[str, Health] = {}
        self.looks = 0
        self._since = Since()
        self._elsewhere: tuple[Problem, ...] = ()
        self._looked_at: Moment | None = None
        self._healths_of: Moment | None = None
        self._last: Snapshot | None = None
        self._seen: dict[str, datetime] = {}

    @property
    def since(self) -> Since:
        """What the events of all looks told."""
        return self._since

    def look(
        self, snapshot: Snapshot, now: datetime, events: Collection[Event] = ()
    ) -> tuple[Problem, ...]:
        """Finds what is wrong now.

        Args:
            snapshot: What is.
            now: The time.
            events: The events that are known, those of earlier looks among them or not.

        Returns:
            The problems, worst first. Of what nothing tells since when, it is since it was first
            seen here, and `Problem.at_least` says so.
        """
        same = self._saw(snapshot)
        if self._since.learn(events) or not same:
            if snapshot.complete:  # what was not read yet is not gone
                self._since.forget_all_but(snapshot)
            self._since.watch_pulls(snapshot, now)
            self._since.watch_readiness(snapshot, now)
            self._looked_at = self._healths_of = None
        if self._healths_of is None or not self._healths_of.holds_at(snapshot.observed_at):
            self._healths_of = Moment(snapshot.observed_at)
            healths = service_healths(snapshot, self._since, self._healths_of)
            if healths != self.healths:
                self.healths, self._looked_at = healths, None
        elsewhere = tuple(self._others(snapshot))
        if elsewhere != self._elsewhere:
            self._elsewhere, self._looked_at = elsewhere, None
        if self._looked_at is None or not self._looked_at.holds_at(now):
            self._looked_at = Moment(now)
            self._look(snapshot, self._looked_at)
        return self.problems

    def is_due(self, snapshot: Snapshot, now: datetime) -> bool:
        """Whether something may be found by the time alone.

        Args:
            snapshot: What is.
            now: The time.
        """
        return not (
            self._looked_at is not None
            and self._looked_at.holds_at(now)
            and self._healths_of is not None
            and self._healths_of.holds_at(snapshot.observed_at)
        )

    def _look(self, snapshot: Snapshot, time: Moment) -> None:
        """Looks all through."""
        self.looks += 1
        now = time.at
        found = _found(snapshot, time, self._since, self.healths, self._elsewhere)
        self._seen = {
            each.key: min(self._seen.get(each.key, now), each.since or now) for each in found
        }
        problems = worst_first(map(self._aged, found))
        if problems != self.problems:
            self.problems = problems

    def _saw(self, snapshot: Snapshot) -> bool:
        """Whether the last look was at the same but for the time."""
        before, self._last = self._last, snapshot.timeless()
        return before == self._last

    def _aged(self, problem: Problem) -> Problem:
        seen = self._seen[problem.key]
        if problem.since is None or (problem.at_least and seen < problem.since):
            return replace(problem, since=seen, at_least=True)
        if problem.continuous and seen < problem.since:
            return replace(problem, since=seen)
        return problem


def _place(problem: Problem) -> tuple[int, int, bool, float, int, str]:
    since = problem.since
    return (
        -problem.impact,
        -problem.severity,
        since is None,
        since.timestamp() if since is not None else 0.0,
        _KINDS[problem.kind],
        problem.key,
    )
