"""The shapes of what the placement add-on answers on cordons and drains."""

from __future__ import annotations

from datetime import datetime

from dstack_api_client.transport.wire_values import Answer, Count, Timed


class Occupant(Answer):
    """A job on an instance that is drained."""

    run_name: str
    action: str
    project: str = ""
    run_type: str = ""
    replica_num: Count = 0
    job_num: Count = 0
    group: str = ""
    instance: str = ""
    to: str | None = None
    why: str = ""


class BrokenMinimum(Answer):
    """A minimum that a drain breaks."""

    run_name: str
    fleet: str
    min_replicas: Count
    replicas: Count
    pool: str = ""


class Drain(Answer):
    """What a drain does."""

    occupants: list[Occupant]
    broken_minimums: list[BrokenMinimum] = []


class Cordon(Timed):
    """A fleet or an instance that is cordoned."""

    times = ("since", "draining_since")

    project: str
    fleet_id: str
    fleet: str
    since: datetime
    instance_id: str | None = None
    instance_num: Count | None = None
    user: str = ""
    reason: str = ""
    draining_since: datetime | None = None
    force: bool = False
    left: list[Occupant] = []


class Cordons(Answer):
    """All cordons of a project."""

    cordons: list[Cordon]


class Changed(Answer):
    """The answer to a cordon or an uncordon."""

    changed: bool
