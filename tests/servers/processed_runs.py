"""Runs as dstack's pipelines have them in hand, and one pass over them."""

# ruff: noqa: E402
from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from dstack_placement.server.compat import schema

schema.install()

from dstack._internal.server.background.pipeline_tasks.runs import active
from dstack._internal.server.db import get_session_ctx
from dstack._internal.server.models import (
    GatewayModel,
    JobModel,
    RunModel,
)
from dstack._internal.server.services.jobs import get_job_spec
from dstack._internal.server.services.runs import get_run_spec
from sqlalchemy import event, select
from sqlalchemy.orm import joinedload, selectinload

from dstack_placement.server.base import tables
from dstack_placement.server.compat import overrides
from tests.servers.stored_runs import World


async def active_context(run: RunModel) -> active.ActiveContext:
    """dstack's context of a run that it is about to process."""
    async with get_session_ctx() as session:
        found = await session.execute(
            select(RunModel)
            .where(RunModel.id == run.id)
            .options(
                joinedload(RunModel.project),
                selectinload(RunModel.jobs).joinedload(JobModel.instance),
                selectinload(RunModel.jobs).selectinload(JobModel.service_replica_registrations),
                selectinload(RunModel.service_registrations),
                joinedload(RunModel.gateway).selectinload(GatewayModel.gateway_replicas),
            )
        )
        model = found.unique().scalar_one()
    return active.ActiveContext(model, get_run_spec(model), {}, set())


async def process(run: RunModel) -> active.ActiveResult:
    """Processes a run once, as dstack's pipeline does."""
    return await overrides._active_run(active.process_active_run)(await active_context(run))


async def submitted(world: World, run: RunModel, job: JobModel) -> Any:
    """What counts of dstack's context of a submitted job."""
    async with get_session_ctx() as session:
        found = await session.execute(
            select(RunModel)
            .where(RunModel.id == run.id)
            .options(joinedload(RunModel.project), selectinload(RunModel.jobs))
        )
        model = found.unique().scalar_one()
        (own,) = [each for each in model.jobs if each.id == job.id]
    spec = get_job_spec(own)
    return SimpleNamespace(
        job_model=own,
        run_model=model,
        project=world.project,
        run=SimpleNamespace(run_spec=get_run_spec(model)),
        job=SimpleNamespace(job_spec=spec, job_submissions=[]),
        fleet_model=None,
    )


def counted(world: World) -> tuple[list[Any], list[str]]:
    """The placements that are loaded from now on, and the statements."""
    loaded: list[Any] = []
    statements: list[str] = []

    @event.listens_for(tables.PlacementRow, "load")
    def _load(row: Any, _: Any) -> None:
        loaded.append(row)

    engine = world.session.bind.sync_engine

    @event.listens_for(engine, "before_cursor_execute")
    def _count(connection: Any, cursor: Any, statement: str, *others: Any) -> None:
        if not statement.startswith("PRAGMA"):
            statements.append(statement)

    return loaded, statements
