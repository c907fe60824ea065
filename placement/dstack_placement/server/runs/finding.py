"""Finding the run that somebody names."""

from __future__ import annotations

from dstack._internal.core.errors import ResourceNotExistsError
from dstack._internal.server.models import ProjectModel, RunModel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import lazyload


async def find_run(session: AsyncSession, project: ProjectModel, name: str) -> RunModel:
    """The run of a project that has a name now, without its jobs.

    Raises:
        ResourceNotExistsError: There is none.
    """
    result = await session.execute(
        select(RunModel)
        .where(
            RunModel.project_id == project.id,
            RunModel.run_name == name,
            RunModel.deleted.is_(False),
        )
        .options(lazyload(RunModel.jobs))
    )
    model = result.unique().scalar_one_or_none()
    if model is None:
        raise ResourceNotExistsError("Run not found")
    return model
