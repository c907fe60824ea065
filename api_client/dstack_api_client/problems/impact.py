"""What users feel of problems: the order in which somebody on call looks at them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dstack_api_client.analysis.health import Health, HealthState
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Affected, Impact, Problem, Severity

_IMPACTS = {
    HealthState.DOWN: Impact.SERVES_NOTHING,
    HealthState.STARTING: Impact.SERVES_NOTHING,
    HealthState.DEGRADED: Impact.SERVES_LESS,
    HealthState.OK: Impact.PROMISE,
}
_WEIGHTS = {state: weight for weight, state in enumerate(HealthState)}


def rated(problem: Problem, snapshot: Snapshot, healths: Mapping[str, Health]) -> Problem:
    """The same problem with the services that it concerns, and what users feel of it.

    Args:
        problem: The problem.
        snapshot: Where it was found.
        healths: How services are, by `service_healths`.
    """
    run_ids = (problem.service_id,) if problem.service_id is not None else problem.run_ids
    affects = [
        Affected(service.name, healths.get(service.id))
        for run_id in run_ids
        if (service := snapshot.services.get(run_id)) is not None
    ]
    affects.sort(key=lambda each: (_weight(each.health), each.name))
    return replace(problem, affects=tuple(affects), impact=_impact(problem, affects))


def _weight(health: Health | None) -> int:
    return _WEIGHTS[health.state] if health is not None else len(_WEIGHTS)


def _impact(problem: Problem, affects: list[Affected]) -> Impact:
    if problem.severity is Severity.NOTICE:
        return Impact.COSTS
    felt = [_IMPACTS[each.health.state] for each in affects if each.health is not None]
    if not affects and problem.severity is Severity.CRITICAL:
        # A task or a dev environment: nothing else does its work.
        felt.append(Impact.SERVES_LESS)
    return max(felt, default=Impact.PROMISE)
