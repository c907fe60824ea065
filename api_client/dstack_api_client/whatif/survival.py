"""Services that would not keep what their minimums promise if a fleet were lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

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


def not_survived(snapshot: Snapshot) -> Iterator[Problem]:
    """A notice for each service with minimums and each fleet whose loss it would not survive.

    It would end, or fewer of its replicas would be left or start elsewhere than its minimums
    promise. That the lost fleet itself can hold no minimum any more does not count.
    """
    promises = {
        service.id: _promised(service)
        for service in snapshot.services.values()
        if not service.gone and service.has_lanes
    }
    if not any(promises.values()):
        return
    for fleet in snapshot.fleets.values():
        loss = loss_of(snapshot, [fleet.name])
        for outcome in what_if(snapshot, loss):
            promised = promises.get(outcome.service.id)
            if promised and (text := _text(snapshot, loss, outcome, promised)):
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
        self._looked_at: datetime | None = None
        self._found: tuple[Problem, ...] = ()

    def __call__(self, snapshot: Snapshot) -> tuple[Problem, ...]:
        """The notices, as of at most half a minute ago; none before all was read."""
        if not snapshot.complete:
            return ()
        at = snapshot.observed_at
        if self._looked_at is None or not timedelta() <= at - self._looked_at < _LOOK_EVERY:
            self._looked_at, self._found = at, tuple(not_survived(snapshot))
        return tuple(each for each in self._found if each.service_id in snapshot.services)
