"""Applying a spec with lanes: refused when they are wrong, and told when they are doubtful."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dstack._internal.core.errors import ServerClientError
from dstack._internal.core.models.runs import Run
from dstack._internal.server.models import RunModel, UserModel
from dstack._internal.server.services import events
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import lazyload

from dstack_placement.server.base.faults import faults
from dstack_placement.server.runs import specs
from dstack_placement.server.state.other_servers import forget_looks


async def apply_plan(
    original: Callable[..., Any], args: Sequence[Any], asked: dict[str, Any]
) -> Any:
    """As dstack's own function, on lanes that can be accepted.

    Args:
        original: dstack's own function.
        args: What it was given by place: nothing, as dstack passes everything by name here.
        asked: What it was given by name.

    Raises:
        ServerClientError: The lanes can't be accepted; one line for each reason.
    """
    session, run_spec = asked["session"], asked["plan"].run_spec
    warnings: Sequence[str] = ()
    managed = True
    with faults.guarded("checking lanes", None, run_spec.run_name, expected=ServerClientError):
        read = await specs.refuse_wrong_lanes(session, asked["project"], run_spec)
        managed = read.has_lanes
        warnings = read.warnings if managed else ()
    run = await original(*args, **asked)
    with faults.guarded("reporting warnings", None, run_spec.run_name):
        await _tell(session, asked["user"], run, warnings)
    if not managed:
        with faults.guarded("forgetting its lanes", None, run_spec.run_name):
            await forget_looks(session, run.id)
    return run


async def _tell(session: AsyncSession, user: UserModel, run: Run, warnings: Sequence[str]) -> None:
    """Emits an event for each warning. dstack commits it with the request's session."""
    if not warnings:
        return
    found = await session.execute(
        select(RunModel).where(RunModel.id == run.id).options(lazyload(RunModel.jobs))
    )
    target = events.Target.from_model(found.unique().scalar_one())
    for line in warnings:
        events.emit(session, line, actor=events.UserActor.from_user(user), targets=[target])
