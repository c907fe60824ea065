"""Cordoning, draining and uncordoning on request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dstack._internal.core.errors import ResourceNotExistsError, ServerClientError
from dstack._internal.server.models import (
    ExportedFleetModel,
    FleetModel,
    ImportModel,
    InstanceModel,
    ProjectModel,
    UserModel,
)
from dstack._internal.server.services import events
from dstack._internal.utils.common import get_current_datetime
from sqlalchemy import delete, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from dstack_placement.server.base.tables import CordonRow, EmptiedRow
from dstack_placement.server.base.telling import tell
from dstack_placement.server.cordon import cordon_answers, emptied, leaving
from dstack_placement.server.fleets.cordons import Cordons, read_cordons


@dataclass(frozen=True, slots=True)
class Target:
    """What is cordoned.

    Attributes:
        fleet: The fleet.
        instance: The instance; None for the whole fleet.
    """

    fleet: FleetModel
    instance: InstanceModel | None

    @property
    def model(self) -> FleetModel | InstanceModel:
        """What it is in dstack's database."""
        return self.instance or self.fleet

    @property
    def title(self) -> str:
        """What it is called at the beginning of a sentence."""
        if self.instance is None:
            return f"Fleet {self.fleet.name}"
        return f"Instance {self.instance.name}"


async def cordon(
    session: AsyncSession,
    project: ProjectModel,
    user: UserModel,
    asked: cordon_answers.CordonRequest,
) -> cordon_answers.CordonAnswer:
    """Has nothing new placed on an instance or in a fleet.

    Raises:
        ResourceNotExistsError: There is no such fleet or instance.
    """
    target = await _target(session, project, asked)
    row, is_new = await _cordoned(session, target, user, asked.reason)
    if is_new:
        _tell(session, target, "is cordoned", user, asked.reason)
    # Before the answer: the request's own session is committed after it.
    await session.commit()
    return cordon_answers.CordonAnswer(changed=is_new, cordon=_shown(row, project, target))


async def drain(
    session: AsyncSession,
    project: ProjectModel,
    user: UserModel,
    asked: cordon_answers.DrainRequest,
) -> cordon_answers.Drain:
    """Cordons, and has replicas of services with lanes move away.

    Raises:
        ResourceNotExistsError: There is no such fleet or instance.
    """
    target = await _target(session, project, asked)
    row, _ = await _cordoned(session, target, user, asked.reason)
    if row.drains_since is None:
        row.drains_since = get_current_datetime()
        _tell(session, target, "is drained", user, asked.reason)
    row.forced = row.forced or asked.force
    await emptied.settle(session, row)
    await session.commit()
    return await _foreseen(session, row, _shown(row, project, target))


async def drain_plan(
    session: AsyncSession,
    project: ProjectModel,
    user: UserModel,
    asked: cordon_answers.DrainRequest,
) -> cordon_answers.Drain:
    """What a drain would do; changes nothing.

    Raises:
        ResourceNotExistsError: There is no such fleet or instance.
    """
    target = await _target(session, project, asked)
    row = _new_row(target, user, asked.reason)
    row.drains_since, row.forced = row.since, asked.force
    return await _foreseen(session, row, None)


async def _foreseen(
    session: AsyncSession, row: CordonRow, shown: cordon_answers.Cordon | None
) -> cordon_answers.Drain:
    now = get_current_datetime()
    cordons = (await read_cordons(session)).with_row(row)
    found = await leaving.outlook(session, row, cordons)
    return cordon_answers.Drain(
        observed_at=now,
        cordon=shown,
        occupants=found.occupants,
        broken_minimums=found.broken,
    )


async def uncordon(
    session: AsyncSession,
    project: ProjectModel,
    user: UserModel,
    asked: cordon_answers.CordonTarget,
) -> cordon_answers.CordonAnswer:
    """Ends a cordon, and with it a drain.

    Raises:
        ResourceNotExistsError: There is no such fleet or instance.
        ServerClientError: It is its fleet that is cordoned, not the instance.
    """
    target = await _target(session, project, asked)
    row = await _row(session, target)
    if row is not None:
        await session.delete(row)
        await session.execute(delete(EmptiedRow).where(EmptiedRow.id == row.id))
        what = "is not drained any more" if row.drains_since is not None else "is uncordoned"
        _tell(session, target, what, user)
        await session.commit()
        return cordon_answers.CordonAnswer(changed=True, cordon=None)
    whole = Target(target.fleet, None)
    if target.instance is not None and await _row(session, whole) is not None:
        raise ServerClientError(
            f"{target.title} is not cordoned by itself: all of fleet {target.fleet.name} is."
            " Uncordon the fleet."
        )
    return cordon_answers.CordonAnswer(changed=False, cordon=None)


async def listed(session: AsyncSession, project: ProjectModel) -> cordon_answers.Cordons:
    """The cordons in the project's fleets and those lent to it, and what is left on what drains."""
    cordons = await read_cordons(session)
    now = get_current_datetime()
    shown = []
    for row, owner, target in await _targets(session, project, cordons):
        shown.append(_shown(row, owner, target))
        if row.drains_since is not None:
            shown[-1].left = (await leaving.outlook(session, row, cordons)).occupants
    return cordon_answers.Cordons(observed_at=now, cordons=shown)


async def _targets(
    session: AsyncSession, project: ProjectModel, cordons: Cordons
) -> list[tuple[CordonRow, ProjectModel, Target]]:
    """What is cordoned among what the project may use, and the project whose it is."""
    rows = [*cordons.fleets.values(), *cordons.instances.values()]
    if not rows:
        return []
    lent = (
        select(ExportedFleetModel.fleet_id)
        .join(ImportModel, ImportModel.export_id == ExportedFleetModel.export_id)
        .where(ImportModel.project_id == project.id)
    )
    found = await session.execute(
        select(FleetModel, ProjectModel)
        .join(ProjectModel, ProjectModel.id == FleetModel.project_id)
        .where(
            FleetModel.id.in_([row.fleet_id for row in rows]),
            FleetModel.deleted.is_(False),
            or_(FleetModel.project_id == project.id, FleetModel.id.in_(lent)),
        )
    )
    fleets = {fleet.id: (fleet, owner) for fleet, owner in found.unique().all()}
    instances = await _instances(session, cordons.instances)
    targets = []
    for row in rows:
        instance = instances.get(row.instance_id) if row.instance_id is not None else None
        if row.fleet_id in fleets and (instance is not None or row.instance_id is None):
            fleet, owner = fleets[row.fleet_id]
            targets.append((row, owner, Target(fleet, instance)))
    return sorted(
        targets,
        key=lambda each: (
            each[2].fleet.name,
            each[2].instance.instance_num if each[2].instance is not None else -1,
        ),
    )


async def _instances(session: AsyncSession, ids: Iterable[object]) -> dict[object, InstanceModel]:
    found = await session.execute(
        select(InstanceModel).where(InstanceModel.id.in_(ids), InstanceModel.deleted.is_(False))
    )
    return {instance.id: instance for instance in found.unique().scalars()}


async def _target(
    session: AsyncSession, project: ProjectModel, asked: cordon_answers.CordonTarget
) -> Target:
    found = await session.execute(
        select(FleetModel).where(
            FleetModel.project_id == project.id,
            FleetModel.name == asked.fleet,
            FleetModel.deleted.is_(False),
        )
    )
    fleet = found.unique().scalar_one_or_none()
    if fleet is None:
        raise ResourceNotExistsError(f"Fleet {asked.fleet} does not exist in this project")
    if asked.instance_num is None:
        return Target(fleet, None)
    numbered = await session.execute(
        select(InstanceModel).where(
            InstanceModel.fleet_id == fleet.id,
            InstanceModel.instance_num == asked.instance_num,
            InstanceModel.deleted.is_(False),
        )
    )
    instance = numbered.unique().scalars().first()
    if instance is None:
        raise ResourceNotExistsError(f"Fleet {fleet.name} has no instance {asked.instance_num}")
    return Target(fleet, instance)


async def _row(session: AsyncSession, target: Target) -> CordonRow | None:
    row: CordonRow | None = await session.get(CordonRow, target.model.id, populate_existing=True)
    return row


async def _cordoned(
    session: AsyncSession, target: Target, user: UserModel, reason: str
) -> tuple[CordonRow, bool]:
    """The cordon on something, with the reason that was given last, and whether it is new."""
    row = await _row(session, target)
    is_new = row is None
    if row is None:
        row = _new_row(target, user, reason)
        await _add(session, row)
    row.reason = reason or row.reason
    return row, is_new


def _new_row(target: Target, user: UserModel, reason: str) -> CordonRow:
    return CordonRow(
        id=target.model.id,
        fleet_id=target.fleet.id,
        instance_id=target.instance.id if target.instance is not None else None,
        user=user.name,
        reason=reason,
        since=get_current_datetime(),
        drains_since=None,
        forced=False,
    )


async def _add(session: AsyncSession, row: CordonRow) -> None:
    """Keeps a cordon, and drops those on what is gone."""
    await session.execute(
        delete(CordonRow).where(
            or_(
                CordonRow.fleet_id.in_(select(FleetModel.id).where(FleetModel.deleted)),
                CordonRow.instance_id.in_(select(InstanceModel.id).where(InstanceModel.deleted)),
            )
        )
    )
    await session.execute(delete(EmptiedRow).where(EmptiedRow.id.not_in(select(CordonRow.id))))
    session.add(row)
    try:
        await session.flush()
    except IntegrityError as error:
        raise ServerClientError("Somebody else cordons it at this moment. Try again.") from error


def _shown(row: CordonRow, owner: ProjectModel, target: Target) -> cordon_answers.Cordon:
    instance = target.instance
    return cordon_answers.Cordon(
        project=owner.name,
        fleet_id=target.fleet.id,
        fleet=target.fleet.name,
        instance_id=instance.id if instance is not None else None,
        instance_num=instance.instance_num if instance is not None else None,
        instance=instance.name if instance is not None else None,
        user=row.user,
        reason=row.reason,
        since=row.since,
        draining_since=row.drains_since,
        force=row.forced,
    )


def _tell(
    session: AsyncSession, target: Target, what: str, user: UserModel, reason: str = ""
) -> None:
    text = f"{target.title} {what}"
    tell(
        session,
        target.model,
        f"{text}: {reason}" if reason else text,
        events.UserActor.from_user(user),
    )
