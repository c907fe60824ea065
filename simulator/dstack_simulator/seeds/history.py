"""Events as the server would have emitted them, at times of long ago."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta

from dstack._internal.server.models import (
    EventModel,
    EventTargetModel,
    FleetModel,
    InstanceModel,
    JobModel,
    RunModel,
    UserModel,
)
from dstack._internal.server.services.events import Target


def event(
    at: datetime,
    message: str,
    *about: FleetModel | InstanceModel | JobModel | RunModel,
    actor: UserModel | None = None,
) -> EventModel:
    """One event.

    Args:
        at: When it was recorded.
        message: As the server words it.
        about: What it is about.
        actor: Who did it; the system if None.
    """
    targets = [Target.from_model(model) for model in about]
    return EventModel(
        id=uuid.uuid4(),
        message=message,
        actor_user_id=actor.id if actor is not None else None,
        recorded_at=at,
        targets=[
            EventTargetModel(
                entity_type=target.type,
                entity_project_id=target.project_id,
                entity_id=target.id,
                entity_name=target.name,
                entity_run_id=target.run_id,
                entity_fleet_id=target.fleet_id,
            )
            for target in targets
        ],
    )


def of_replica(job: JobModel, instance: InstanceModel) -> Iterator[EventModel]:
    """The events of a replica that was placed on an instance and runs."""
    at = job.submitted_at
    blocks = f"{instance.busy_blocks}/{instance.total_blocks} busy"
    yield event(at, "Job created on run submission. Status: SUBMITTED", job)
    yield event(
        at + timedelta(seconds=2),
        f"Job assigned to instance. Instance blocks: {blocks}",
        job,
        instance,
    )
    yield event(at + timedelta(seconds=95), "Job status changed PULLING -> RUNNING", job)
