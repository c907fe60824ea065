"""Rebalancing on request: running replicas move until they follow the priorities.

The request is kept in the database. Each look at the run makes one move of it at most, and the last
one ends it.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from dstack._internal.core.errors import ServerClientError
from dstack._internal.server.models import ProjectModel, RunModel, UserModel
from dstack._internal.server.services import events
from dstack._internal.server.services.runs import get_run_spec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import lazyload

from dstack_placement.engine import Action, Service, ServiceSpec, preview
from dstack_placement.server.answers import answers
from dstack_placement.server.base.tables import RebalanceRow, locked_run
from dstack_placement.server.base.telling import tell
from dstack_placement.server.errors import RunBusyError
from dstack_placement.server.runs import specs
from dstack_placement.server.runs.finding import find_run
from dstack_placement.server.state.state import RunState
from dstack_placement.server.view import looking


async def rebalance(
    session: AsyncSession, project: ProjectModel, user: UserModel, asked: answers.RebalanceRequest
) -> answers.Rebalance:
    """Begins to move the replicas of a run to the lanes of higher priority, or stops doing so.

    Raises:
        ResourceNotExistsError: There is no such run.
        ServerClientError: It has ended, or it has no lanes.
    """
    run_model = await find_run(session, project, asked.run_name)
    if run_model.status.is_finished():
        raise ServerClientError(
            f"Run {asked.run_name} has ended, so it has no replicas to move. Name an active one."
        )
    run = await looking.read_run(session, project, run_model, get_run_spec(run_model))
    if run.state is None:
        raise ServerClientError(
            f"Run {asked.run_name} has no lanes: all its replicas are in one fleet. Give `fleets`"
            " of the service lanes first."
        )
    service = _deployed(run.state.service)
    plan = await looking.planned(session, service, run.state.now, rebalance=not asked.cancel)
    moves = [] if asked.cancel else plan.doing(Action.MOVE)
    actor = events.UserActor.from_user(user)
    # The request's own connection is free by now: one that waits for another may wait for ever.
    try:
        async with locked_run(run_model.id) as locked:
            row = await _noted(locked, run_model, run.state, len(moves), actor, asked.cancel)
            shown = answers.rebalancing(row)
    except RunBusyError as error:
        raise ServerClientError(str(error)) from error
    return answers.Rebalance(
        run_id=run_model.id,
        run_name=asked.run_name,
        observed_at=run.state.now,
        rebalancing=shown,
        moves=[
            answers.Move(
                replica_num=move.replica.number,
                group=move.replica.group,
                fleet=move.replica.fleet,
                to=str(move.to),
                why=move.why,
            )
            for move in moves
        ],
        lanes=looking.lanes_in(run.state, plan),
    )


async def _noted(
    session: AsyncSession,
    run_model: RunModel,
    state: RunState,
    moves: int,
    actor: events.AnyActor,
    cancel: bool,
) -> RebalanceRow | None:
    """Notes that a rebalancing begins, goes on or is cancelled; None where there is none."""
    row = await session.get(RebalanceRow, run_model.id)
    if cancel and row is not None:
        await session.delete(row)
        tell(session, run_model, "Rebalancing is cancelled", actor)
        return None
    if moves:
        begun = row is None
        row = row or RebalanceRow(run_id=run_model.id, since=state.now)
        row.edition, row.left = _edition(state.lanes), moves
        session.add(row)
        if begun:
            tell(session, run_model, _begin(moves), actor)
    return row


def goes_on(state: RunState) -> bool:
    """Whether replicas are to be moved towards the priorities now."""
    return state.rebalance is not None and state.rebalance.edition == _edition(state.lanes)


async def go_on(
    session: AsyncSession, run_model: RunModel, state: RunState, service: Service
) -> None:
    """Notes how far a rebalancing has come, and ends it when nothing is left to move.

    Args:
        session: A session of `locked_run`.
        run_model: The run.
        state: The state that was read before.
        service: The same, with the counts that dstack wants now.
    """
    row = await session.get(RebalanceRow, run_model.id)
    if row is None:
        return
    if row.edition != _edition(state.lanes):
        # The look may be older than an edit after which the rebalancing was asked for.
        if row.edition != await _stored_edition(session, run_model):
            await session.delete(row)
            tell(session, run_model, "Rebalancing ends: the lanes were edited")
        return
    plan = preview(_deployed(service), now=state.now, rebalance=True)
    row.left = len(plan.doing(Action.MOVE)) + len(plan.doing(Action.STOP))
    # What starts may have to move too.
    if row.left or plan.doing(Action.START):
        return
    await session.delete(row)
    tell(session, run_model, _end(service, state))


async def _stored_edition(session: AsyncSession, run_model: RunModel) -> str | None:
    """The edition of a run's lanes as they are stored by now; None for none."""
    stored = await session.execute(
        select(RunModel)
        .where(RunModel.id == run_model.id)
        .options(lazyload(RunModel.jobs))
        .execution_options(populate_existing=True)
    )
    lanes = specs.lanes_of(get_run_spec(stored.unique().scalar_one()), run_model.project.name)
    return _edition(lanes) if lanes is not None else None


def _deployed(service: Service) -> Service:
    """The service as if a rolling deployment had ended, until which nothing moves."""
    replicas = tuple(replace(replica, out_of_date=False) for replica in service.replicas)
    return replace(service, replicas=replicas)


def _begin(number: int) -> str:
    return f"Rebalancing begins: {_replicas(number)} {'moves' if number == 1 else 'move'}"


def _end(service: Service, state: RunState) -> str:
    """What is told at the end: lanes that cool down may have kept replicas where they are."""
    plan = preview(replace(service, cooldowns={}), now=state.now, rebalance=True)
    kept = len(plan.doing(Action.MOVE))
    if not kept:
        return "Rebalancing is done: the replicas follow the priorities"
    cooling = "; ".join(
        f"{fleet} is skipped after a failed start, {cooldown.cause}"
        for (_, fleet), cooldown in service.cooldowns.items()
        if cooldown.cools(state.now)
    )
    return f"Rebalancing ends with {_replicas(kept)} not moved: {cooling}"


def _replicas(number: int) -> str:
    return "1 replica" if number == 1 else f"{number} replicas"


def _edition(lanes: ServiceSpec) -> str:
    text = repr(sorted(lanes.pools.items()))
    return hashlib.sha256(text.encode()).hexdigest()
