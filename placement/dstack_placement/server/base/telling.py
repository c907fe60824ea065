"""Events that the add-on emits."""

from __future__ import annotations

from dstack._internal.server.models import FleetModel, InstanceModel, JobModel, RunModel
from dstack._internal.server.services import events
from sqlalchemy.ext.asyncio import AsyncSession


def tell(
    session: AsyncSession,
    about: RunModel | JobModel | FleetModel | InstanceModel,
    message: str,
    actor: events.AnyActor | None = None,
    *,
    of: RunModel | None = None,
) -> None:
    """Emits an event with the transaction of a session.

    Args:
        session: The session.
        about: What it is about.
        message: What happened.
        actor: Whose doing it is; the server's own where nobody is given.
        of: The run of the job, where it is to be told of that too.
    """
    targets = [events.Target.from_model(about)]
    if of is not None:
        targets.append(events.Target.from_model(of))
    events.emit(
        session,
        message,
        actor=actor or events.SystemActor(),
        targets=targets,
    )
