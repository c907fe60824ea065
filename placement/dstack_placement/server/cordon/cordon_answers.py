"""What the endpoints on cordons and drains take and give."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Literal

from dstack._internal.core.models.common import CoreModel
from pydantic import StringConstraints


class CordonTarget(CoreModel):
    """A fleet of the project, or one of its instances."""

    fleet: str
    instance_num: int | None = None


class CordonRequest(CordonTarget):
    """What is to take nothing new, and why."""

    reason: Annotated[str, StringConstraints(max_length=1000)] = ""


class DrainRequest(CordonRequest):
    """What is to be emptied too; `force` moves replicas whose address others hold as well."""

    force: bool = False


class Occupant(CoreModel):
    """A job on an instance that is drained.

    `action` is what it does: `move` (to the fleet `to`), `stop`, or `stay`, for the reason `why`.
    """

    project: str
    run_id: uuid.UUID
    run_name: str
    run_type: str
    replica_num: int
    job_num: int
    group: str
    instance: str
    action: Literal["move", "stop", "stay"]
    to: str | None
    why: str


class BrokenMinimum(CoreModel):
    """A lane that has fewer replicas than its minimum once the drain is done."""

    project: str
    run_name: str
    pool: str
    fleet: str
    min_replicas: int
    replicas: int


class Cordon(CoreModel):
    """A fleet or an instance that takes nothing new; `instance` is empty for a whole fleet.

    `draining_since` is empty where what is there may stay; else `left` has what is there still.
    """

    project: str
    fleet_id: uuid.UUID
    fleet: str
    instance_id: uuid.UUID | None
    instance_num: int | None
    instance: str | None
    user: str
    reason: str
    since: datetime
    draining_since: datetime | None
    force: bool
    left: list[Occupant] = []


class Cordons(CoreModel):
    """The cordons in the project's own fleets and in those that are lent to it."""

    observed_at: datetime
    cordons: list[Cordon]


class CordonAnswer(CoreModel):
    """What is cordoned now; `changed` is false where it was so before."""

    changed: bool
    cordon: Cordon | None


class Drain(CoreModel):
    """What a drain does; `cordon` is empty where that was only asked."""

    observed_at: datetime
    cordon: Cordon | None
    occupants: list[Occupant]
    broken_minimums: list[BrokenMinimum]
