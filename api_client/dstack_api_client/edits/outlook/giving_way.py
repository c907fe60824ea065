"""Which replicas of other services would give way to a service's minimums, as far as is shown.

The server knows more: which places would do on its own terms, and how busy the replicas are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dstack_api_client.analysis.endings import lanes_decide
from dstack_api_client.analysis.requirements import Requirements, requirements_of
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.edits.service.situation import as_it_is
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_placement import engine


def foreseen(edit: ServiceEdit, snapshot: Snapshot, state: engine.Service) -> engine.Foresight:
    """Who would give way under an edit, by the rules of the server.

    Args:
        edit: The edit.
        snapshot: Where the service is, and the others.
        state: What the engine is told of the edit.
    """
    service = snapshot.services.get(edit.base.id)
    if service is None or edit.reclaim is engine.Reclaim.OFF or not edit.knows_reclaim:
        return engine.Foresight(state)
    short = {lane.fleet for lane in engine.preview(state, now=snapshot.observed_at).lanes
             if lane.deficit}  # fmt: skip
    if not short:
        return engine.Foresight(state)
    others = {fleet: [*_contenders(edit, service, snapshot, fleet)] for fleet in sorted(short)}
    return engine.foresee(
        state,
        edit.reclaim,
        edit.run_priority,
        others,
        name=service.name,
        now=snapshot.observed_at,
    )


def _contenders(
    edit: ServiceEdit, service: Service, snapshot: Snapshot, fleet: str
) -> Iterator[engine.Contender]:
    """The other services with replicas of which the place in a fleet would do."""
    for other in snapshot.services.values():
        if other.gone or other.id == service.id or not lanes_decide(snapshot, other):
            continue
        occupants = _occupants(edit, other, snapshot, fleet)
        if occupants:
            state = as_it_is(snapshot, other, managed=True)
            yield engine.Contender(other.name, other.priority, state, occupants)


def _occupants(
    edit: ServiceEdit, other: Service, snapshot: Snapshot, fleet: str
) -> dict[str, engine.Occupant]:
    theirs = requirements_of(other.spec)
    return {
        replica.submission_id: engine.Occupant(replica.submitted_at)
        for replica in snapshot.active_in(other)
        if replica.fleet_name == fleet
        and replica.status == "running"
        and would_do(
            snapshot,
            replica.instance_id or "",
            theirs.get(replica.group, Requirements()),
            edit.read.needs.values(),
        )
    }


def would_do(
    snapshot: Snapshot, instance_id: str, held: Requirements, needs: Iterable[Requirements]
) -> bool:
    """Whether the place of a replica would do for another one.

    Args:
        snapshot: What is known of the instance.
        instance_id: Where the replica is.
        held: What it asks for.
        needs: What the other may ask for: one of them is enough.
    """
    instance = snapshot.instances.get(instance_id)
    if instance is None or snapshot.cordon_of(instance) is not None:
        return False
    free = instance.total_blocks - instance.busy_blocks
    free += held.blocks_in(instance) or instance.total_blocks
    needed = (need.blocks_in(instance) for need in needs)
    return any(blocks and blocks <= free for blocks in needed)
