"""Services that would not keep what their minimums promise if a fleet were lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from time import monotonic

from dstack_api_client.analysis.lane_input import pools_of, stored_lanes_of
from dstack_api_client.model.fleet import Fleet
from dstack_api_client.model.labels import counted
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Kind, Problem, Severity
from dstack_api_client.whatif.loss import Loss, loss_of
from dstack_api_client.whatif.outcome import Outcome, what_if

#: It takes a look at all services for each fleet, and is no news of seconds.
_LOOK_EVERY = timedelta(seconds=30)
#: Seconds after which a look leaves the other fleets to the next: 1,500 replicas take 0.25 s each.
_BUDGET = 0.1


def not_survived(snapshot: Snapshot, fleets: Iterable[Fleet] | None = None) -> Iterator[Problem]:
    """A notice for each service with minimums and each fleet whose loss it would not survive.

    It would end, or fewer of its replicas would be left or start elsewhere than its minimums
    promise. That the lost fleet itself can hold no minimum any more does not count.

    Args:
        snapshot: The project.
        fleets: The fleets that may be lost; all where none are given.
    """
    promises = {
        service.id: _promised(service)
        for service in snapshot.services.values()
        if not service.gone and service.has_lanes
    }
    if not any(promises.values()):
        return
    for fleet in snapshot.fleets.values() if fleets is None else fleets:
        loss = loss_of(snapshot, [fleet.name])
        for outcome in what_if(snapshot, loss):
            promised = promises.get(outcome.service.id)
            if promised and outcome.lost and (text := _text(snapshot, loss, outcome, promised)):
                yield _problem(outcome.service, fleet, text)


def _promised(service: Service) -> Mapping[str, int]:
    """By pool of lanes, how many replicas its minimums promise."""
    found = {
        pool: sum(lane.min_replicas for lane in lanes)
        for pool, lanes in stored_lanes_of(service).pools.items()
    }
    return {pool: count for pool, count in found.items() if count}


def _text(
    snapshot: Snapshot, loss: Loss, outcome: Outcome, promised: Mapping[str, int]
) -> str | None:
    if outcome.ending is not None:
        return "it would end"
    service = outcome.service
    pools = pools_of(stored_lanes_of(service))
    routers = {group.name for group in service.groups if group.router is not None}
    left: Counter[str | None] = Counter(
        pools.get(each.group)
        for each in snapshot.active_in(service)
        if each.standing and each.group not in routers and not loss.takes(each)
    )
    for start in outcome.starts:
        if start.group not in routers:
            left[pools.get(start.group)] += start.count
    short = {pool for pool, count in promised.items() if left[pool] < count}
    if not short:
        return None
    held, most = sum(left[pool] for pool in short), sum(promised[pool] for pool in short)
    verb = "is" if held == 1 else "are"
    return f"{held} of the {counted(most, 'replica')} that its minimums promise {verb} left"


def _problem(service: Service, fleet: Fleet, text: str) -> Problem:
    return Problem(
        key=f"loss:{service.id}:{fleet.id}",
        kind=Kind.LOSS,
        severity=Severity.NOTICE,
        subject=service.name,
        text=f"would not survive the loss of {fleet.name}: {text}",
        hint=f"`dstack-fleets-tui whatif --without {fleet.name}` says what becomes of all.",
        service_id=service.id,
        view="distribution",
    )


class Survival:
    """Looks for what would not survive now and then, and says the same in between."""

    def __init__(self) -> None:
        self._looked_at: dict[str, datetime] = {}
        self._found: dict[str, tuple[Problem, ...]] = {}

    def __call__(self, snapshot: Snapshot) -> tuple[Problem, ...]:
        """The notices, as of half a minute ago or a few looks; none before all was read."""
        if not snapshot.complete:
            return ()
        begun, now = monotonic(), snapshot.observed_at
        for fleet in self._due(snapshot):
            self._looked_at[fleet.id] = now
            self._found[fleet.id] = tuple(not_survived(snapshot, [fleet]))
            if monotonic() - begun > _BUDGET:
                break
        self._found = {key: found for key, found in self._found.items() if key in snapshot.fleets}
        return tuple(
            each
            for found in self._found.values()
            for each in found
            if each.service_id in snapshot.services
        )

    def _due(self, snapshot: Snapshot) -> list[Fleet]:
        """The fleets that were not looked at lately, those of the longest ago first."""
        long_ago = snapshot.observed_at - _LOOK_EVERY
        looked_at = {key: self._looked_at.get(key, long_ago) for key in snapshot.fleets}
        due = (fleet for key, fleet in snapshot.fleets.items() if looked_at[key] <= long_ago)
        return sorted(due, key=lambda fleet: looked_at[fleet.id])
