"""How the replicas of a service are spread over fleets and replica groups."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Cell:
    """What one fleet holds of one replica group."""

    running: int = 0
    ready: int = 0
    pending: int = 0
    stopping: int = 0


@dataclass(frozen=True)
class FleetRow:
    """What one fleet holds of a service, against what it should.

    Attributes:
        pool: The group whose lanes these are; empty for the service's own.
        fleet: The fleet's name; None for replicas without a place yet.
        fleet_id: None for a fleet that is not in the snapshot.
        priority: None where there are no lanes.
        min_replicas: None where there are no lanes.
        max_replicas: None without a cap.
        target: None where it is not known.
        running: Replicas that run.
        ready: Of those, the ones that are ready.
        pending: Replicas that are to run here and don't yet.
        stopping: Replicas that are going.
        groups: The same by replica group, in the service's order; groups without any are left out.
        price: Dollars per hour of these replicas.
        deficit: Replicas that the minimum lacks.
        deficit_since: Since when, where known.
        fallbacks: Replicas that are here because a fleet before it could not take them.
        cooldown_until: Until when new replicas pass it over.
        reason: Why it is as it is, one line.
    """

    pool: str
    fleet: str | None
    fleet_id: str | None
    priority: int | None
    min_replicas: int | None
    max_replicas: int | None
    target: int | None
    running: int
    ready: int
    pending: int
    stopping: int
    groups: dict[str, Cell]
    price: float
    deficit: int = 0
    deficit_since: datetime | None = None
    fallbacks: int = 0
    cooldown_until: datetime | None = None
    reason: str = ""


@dataclass(frozen=True)
class Distribution:
    """A service over its fleets.

    Attributes:
        run_id: The service.
        managed: Whether lanes decide.
        observed_at: When the figures were read.
        rows: In the order in which fleets are filled.
        wanted: Replicas wanted now; None where the server does not tell.
        running: Over all fleets.
        ready: Over all fleets.
        pending: Over all fleets.
        price: Dollars per hour.
        groups: Replica groups in the service's order.
        notes: What can't be known on this server and why, and what the server notes.
    """

    run_id: str
    managed: bool
    observed_at: datetime
    rows: tuple[FleetRow, ...]
    wanted: int | None
    running: int
    ready: int
    pending: int
    price: float
    groups: tuple[str, ...]
    notes: tuple[str, ...] = ()
