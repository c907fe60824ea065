"""What the add-on keeps in dstack's database, in tables that the stock server ignores."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakValueDictionary

from dstack._internal.core.models.runs import JobStatus, RunStatus
from dstack._internal.server.db import get_db, get_session_ctx
from dstack._internal.server.models import JobModel, NaiveDateTime, RunModel
from dstack._internal.server.services.locking import get_locker, string_to_lock_id
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    String,
    Text,
    Uuid,
    bindparam,
    delete,
    func,
    inspect,
    or_,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dstack_placement.server.errors import AddonError, RunBusyError

_LOCKS = "dstack_fleets_runs"
_FLEET_LOCKS = "dstack_fleets_fleets"
#: Seconds that a server waits for another's lock, with a connection in its hands.
_LOCK_LIMIT = 10
#: Of PostgreSQL, for a lock that was not to be had within the limit.
_LOCK_NOT_AVAILABLE = "55P03"
#: After so long, a start of which nobody saw the end is not of interest any more.
_UNSETTLED_FOR = timedelta(hours=1)
#: Rows that are deleted at once, so that nobody waits for it long.
_PRUNED_AT_ONCE = 1000
_queues: WeakValueDictionary[uuid.UUID, asyncio.Lock] = WeakValueDictionary()


class Base(DeclarativeBase):
    """Apart from dstack's own tables, so that its migrations never see these."""


class PlacementRow(Base):
    """The lane that one replica got.

    Attributes:
        job_id: The job of this submission of the replica.
        fleet: The lane's fleet as lanes name it; None while the replica fits nowhere.
        fleet_id: The fleet's id.
        reason: Why there: one of the engine's reasons, `move`, or `reclaim` for one that takes the
            place of a replica that gives way to another service.
        why: The same in words.
        cause: The cause alone, where one is chosen for a minimum (`Placing.cause`); None for what
            an older add-on has placed, and for all else.
        since: When it was decided.
        outcome: `started` once it ran, `failed` when it could not be started, None before.
    """

    __tablename__ = "dstack_fleets_placements"

    job_id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    run_id: Mapped[uuid.UUID] = mapped_column(Uuid, index=True)
    fleet: Mapped[str | None] = mapped_column(Text)
    fleet_id: Mapped[uuid.UUID | None] = mapped_column(Uuid, index=True)
    reason: Mapped[str] = mapped_column(String(20))
    why: Mapped[str] = mapped_column(Text)
    cause: Mapped[str | None] = mapped_column(Text)
    since: Mapped[datetime] = mapped_column(NaiveDateTime)
    outcome: Mapped[str | None] = mapped_column(String(20))


class CooldownRow(Base):
    """The cooldown of one lane; see `engine.Cooldown`.

    Attributes:
        pool: The engine's name of the pool that the lane belongs to.
        edition: A digest of the lanes and of the fleet's spec; a cooldown of other editions is
            over.
    """

    __tablename__ = "dstack_fleets_cooldowns"

    run_id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    pool: Mapped[str] = mapped_column(String(100), primary_key=True)
    fleet: Mapped[str] = mapped_column(String(255), primary_key=True)
    edition: Mapped[str] = mapped_column(String(64))
    failures: Mapped[int]
    since: Mapped[datetime] = mapped_column(NaiveDateTime)
    until: Mapped[datetime] = mapped_column(NaiveDateTime)
    cause: Mapped[str] = mapped_column(Text)


class DeficitRow(Base):
    """A lane below its minimum, so that its end is told once.

    Attributes:
        pool: The engine's name of the pool that the lane belongs to.
        missing: How many replicas the lane is short of its minimum.
        why: The lane's reason when it was last looked at.
    """

    __tablename__ = "dstack_fleets_deficits"

    run_id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    pool: Mapped[str] = mapped_column(String(100), primary_key=True)
    fleet: Mapped[str] = mapped_column(String(255), primary_key=True)
    missing: Mapped[int]
    since: Mapped[datetime] = mapped_column(NaiveDateTime)
    why: Mapped[str] = mapped_column(Text, default="")


class UnreachableRow(Base):
    """A lane that the run's router can't reach, so that it is told once.

    Attributes:
        pool: The engine's name of the pool that the lane belongs to.
        line: What was told.
    """

    __tablename__ = "dstack_fleets_unreachable"

    run_id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    pool: Mapped[str] = mapped_column(String(100), primary_key=True)
    fleet: Mapped[str] = mapped_column(String(255), primary_key=True)
    line: Mapped[str] = mapped_column(Text)
    since: Mapped[datetime] = mapped_column(NaiveDateTime)


class LookRow(Base):
    """That servers with the add-on look at a run, and since when.

    Attributes:
        since: The first look since there was none for minutes, or since other groups have lanes.
        seen_at: One of the last looks.
        groups: The replica groups that have lanes.
    """

    __tablename__ = "dstack_fleets_looks"

    run_id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    since: Mapped[datetime] = mapped_column(NaiveDateTime)
    seen_at: Mapped[datetime] = mapped_column(NaiveDateTime)
    groups: Mapped[str] = mapped_column(Text)


class RebalanceRow(Base):
    """A rebalancing that goes on.

    Attributes:
        since: When somebody asked for it.
        edition: A digest of the run's lanes; an edit of them ends it.
        left: How many replicas were still to be moved when it was last looked at.
    """

    __tablename__ = "dstack_fleets_rebalances"

    run_id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    since: Mapped[datetime] = mapped_column(NaiveDateTime)
    edition: Mapped[str] = mapped_column(String(64))
    left: Mapped[int]


class CordonRow(Base):
    """An instance or a fleet where nothing new is placed.

    Attributes:
        id: The instance's id, or the fleet's where all of it is cordoned.
        instance_id: None where all of the fleet is cordoned.
        user: Who cordoned it.
        drains_since: Since when what is there moves away; None while it may stay.
        forced: Whether replicas whose address others hold move away too.
    """

    __tablename__ = "dstack_fleets_cordons"

    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    fleet_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    instance_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    user: Mapped[str] = mapped_column(String(255))
    reason: Mapped[str] = mapped_column(Text)
    since: Mapped[datetime] = mapped_column(NaiveDateTime)
    drains_since: Mapped[datetime | None] = mapped_column(NaiveDateTime)
    forced: Mapped[bool]


class EmptiedRow(Base):
    """A drain after which nothing is left, so that its end is told once.

    Attributes:
        id: The cordon's.
        since: When it was told.
    """

    __tablename__ = "dstack_fleets_emptied"

    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    since: Mapped[datetime] = mapped_column(NaiveDateTime)


class DrainRow(Base):
    """A replica that is to stop and ends its open requests first.

    Attributes:
        job_id: Its job, which dstack calls terminating by then.
        since: When it was to stop.
        limit: How many seconds it may take.
        open: How many requests were open when it was last looked at; None is not known.
        in_rotation: Whether new requests could reach it then.
        ended_at: When it could stop; None while it drains.
    """

    __tablename__ = "dstack_fleets_drains"

    job_id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    run_id: Mapped[uuid.UUID] = mapped_column(Uuid, index=True)
    since: Mapped[datetime] = mapped_column(NaiveDateTime)
    limit: Mapped[int]
    open: Mapped[int | None]
    in_rotation: Mapped[bool]
    ended_at: Mapped[datetime | None] = mapped_column(NaiveDateTime)


class OpenRequestsRow(Base):
    """How many requests one of several servers has open to a replica that drains.

    Attributes:
        server: The server's process.
        seen_at: When it was so; what is old is of a server that is gone.
    """

    __tablename__ = "dstack_fleets_open_requests"

    job_id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    run_id: Mapped[uuid.UUID] = mapped_column(Uuid, index=True)
    server: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    open: Mapped[int]
    seen_at: Mapped[datetime] = mapped_column(NaiveDateTime)


class ReclaimRow(Base):
    """One replica that gives way to the minimum of another service.

    Attributes:
        job_id: The replica's job.
        run_id: Its run.
        run_name: The run's name.
        replica_num: The replica's number.
        for_run_id: The run that is short.
        for_run_name: Its name.
        for_pool: The engine's name of the pool that the lane belongs to.
        fleet: The fleet, as lanes name it.
        fleet_id: The fleet's id.
        to: The fleet to which the replica moves.
        since: When it was decided.
        surge_id: The job that takes the replica's place elsewhere; None before it is started.
        freed_at: When the place was first seen to be free; None before.
    """

    __tablename__ = "dstack_fleets_reclaims"

    job_id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    run_id: Mapped[uuid.UUID] = mapped_column(Uuid, index=True)
    run_name: Mapped[str] = mapped_column(Text)
    replica_num: Mapped[int]
    for_run_id: Mapped[uuid.UUID] = mapped_column(Uuid, index=True)
    for_run_name: Mapped[str] = mapped_column(Text)
    for_pool: Mapped[str] = mapped_column(String(100))
    fleet: Mapped[str] = mapped_column(String(255))
    fleet_id: Mapped[uuid.UUID] = mapped_column(Uuid, index=True)
    to: Mapped[str] = mapped_column(String(255))
    since: Mapped[datetime] = mapped_column(NaiveDateTime)
    surge_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    freed_at: Mapped[datetime | None] = mapped_column(NaiveDateTime)


#: What is kept of runs, each by `run_id`.
_OF_RUNS: tuple[Any, ...] = (
    PlacementRow,
    CooldownRow,
    DeficitRow,
    UnreachableRow,
    RebalanceRow,
    LookRow,
    DrainRow,
    OpenRequestsRow,
)


@dataclass(frozen=True, slots=True)
class Claim:
    """A replica of another run that gives way to a lane of this one.

    Attributes:
        row: What is kept of it.
        freed: Whether it has ended, and its place is kept for this run.
    """

    row: ReclaimRow
    freed: bool


async def create() -> None:
    """Creates the tables where they are missing, once dstack's own are up to date."""
    async with get_db().engine.begin() as connection:
        # Servers that start together would race between the check and the creation.
        several = get_db().dialect_name == "postgresql"
        if several and not await _got_lock(connection, "dstack_fleets_tables"):
            raise AddonError(
                f"Another server has been creating the add-on's tables for {_LOCK_LIMIT} s. Start"
                " this one again."
            )
        await connection.run_sync(Base.metadata.create_all)
        await connection.run_sync(add_columns)


def add_columns(connection: Connection) -> None:
    """Adds what tables of an older add-on lack: columns that may be empty."""
    inspector = inspect(connection)
    for table in Base.metadata.sorted_tables:
        there = {column["name"] for column in inspector.get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                kind = column.type.compile(connection.dialect)
                statement = f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}"
                connection.execute(text(statement))


@asynccontextmanager
async def locked_run(run_id: uuid.UUID) -> AsyncIterator[AsyncSession]:
    """A session in which nobody else decides on this run; the caller commits once, at its end.

    One server on SQLite is serialised by dstack's locker, several on PostgreSQL by an advisory lock
    that ends with the transaction. Before either, the tasks of a server queue up: dstack's locker
    takes them in no order, and in PostgreSQL each would wait with a connection in its hands. Who
    comes here has none.

    Raises:
        RunBusyError: Another server keeps the lock for too long.
    """
    busy = f"Another server has been deciding on the run for {_LOCK_LIMIT} s. Try again."
    async with _locked(_LOCKS, run_id, busy) as session:
        yield session


@asynccontextmanager
async def locked_fleet(fleet_id: uuid.UUID) -> AsyncIterator[AsyncSession]:
    """A session in which nobody else decides who gives way in this fleet, as `locked_run`.

    Raises:
        RunBusyError: Another server keeps the lock for too long.
    """
    busy = f"Another server has been deciding on the fleet for {_LOCK_LIMIT} s."
    async with _locked(_FLEET_LOCKS, fleet_id, busy) as session:
        yield session


@asynccontextmanager
async def _locked(kind: str, id_: uuid.UUID, busy: str) -> AsyncIterator[AsyncSession]:
    dialect = get_db().dialect_name
    queue = _queues.setdefault(id_, asyncio.Lock())
    locker = get_locker(dialect)
    async with queue, locker.lock_ctx(kind, [id_]), get_session_ctx() as session:
        if dialect == "postgresql" and not await _got_lock(session, f"{kind}:{id_}"):
            raise RunBusyError(busy)
        yield session


async def _got_lock(session: AsyncSession | AsyncConnection, name: str) -> bool:
    """Takes an advisory lock until the transaction ends, unless somebody else keeps it."""
    await session.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_LIMIT}s'"))
    try:
        await session.execute(select(func.pg_advisory_xact_lock(string_to_lock_id(name))))
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE:
            return False
        raise
    # What comes next waits as long as the server is set up to.
    await session.execute(text("SET LOCAL lock_timeout TO DEFAULT"))
    return True


@dataclass(frozen=True, slots=True)
class Record:
    """How much is kept of a run, from which follows what else is to be read.

    Attributes:
        placements: How many replicas there are placements of.
        unsettled: Of how many among them it is not known yet what came of them.
        cooldowns: How many lanes have a cooldown.
        deficits: How many lanes are known to be below their minimum.
        unreachable: How many lanes are known to be out of the router's reach.
        rebalances: Whether a rebalancing goes on.
        gives: How many of its replicas give way to other runs.
        claims: How many replicas of other runs give way to it.
        look_since: Since when servers with the add-on look at it; None before the first look.
        looked_at: When one of the last looks was.
        groups: The replica groups that had lanes then.
        cordons: How many instances and fleets of the server are cordoned.
    """

    placements: int
    unsettled: int
    cooldowns: int
    deficits: int
    unreachable: int
    rebalances: int
    gives: int
    claims: int
    look_since: datetime | None
    looked_at: datetime | None
    groups: str | None
    cordons: int


def _record() -> Select[Any]:
    run_id: Any = bindparam("run_id")

    def number(table: type[Any], *conditions: ColumnElement[bool], by: Any = None) -> Any:
        owner = table.run_id if by is None else by
        asked = select(func.count()).select_from(table).where(owner == run_id, *conditions)
        return asked.scalar_subquery()

    def of_look(column: Any) -> Any:
        return select(column).where(LookRow.run_id == run_id).scalar_subquery()

    return select(
        number(PlacementRow),
        number(PlacementRow, PlacementRow.outcome.is_(None)),
        *map(number, (CooldownRow, DeficitRow, UnreachableRow, RebalanceRow, ReclaimRow)),
        number(ReclaimRow, by=ReclaimRow.for_run_id),
        *map(of_look, (LookRow.since, LookRow.seen_at, LookRow.groups)),
        select(func.count()).select_from(CordonRow).scalar_subquery(),
    )


#: Made once: it is asked at every look, and making it takes longer than asking it.
_RECORD = _record()


async def read_record(session: AsyncSession, run_id: uuid.UUID) -> Record:
    """Reads how much is kept of a run, in one statement."""
    found = await session.execute(_RECORD, {"run_id": run_id})
    return Record(*found.one())


def live_placements(runs: Collection[uuid.UUID]) -> Select[Any]:
    """The placements of jobs of runs that have not ended, be there ever so many others."""
    return select(PlacementRow).where(
        PlacementRow.run_id.in_(runs), PlacementRow.job_id.in_(_live_jobs(runs))
    )


def unsettled_placements(run_id: uuid.UUID) -> Select[Any]:
    """The placements of a run of which is not known yet what came of them."""
    return select(PlacementRow).where(PlacementRow.run_id == run_id, PlacementRow.outcome.is_(None))


def placements_that_count(run_id: uuid.UUID) -> Select[Any]:
    """The placements of a run that are of jobs that have not ended, or are not settled yet."""
    live = PlacementRow.job_id.in_(_live_jobs([run_id]))
    return select(PlacementRow).where(
        PlacementRow.run_id == run_id, or_(live, PlacementRow.outcome.is_(None))
    )


def _live_jobs(runs: Collection[uuid.UUID]) -> Select[Any]:
    return select(JobModel.id).where(
        JobModel.run_id.in_(runs), JobModel.status.not_in(JobStatus.finished_statuses())
    )


async def forget_ended_jobs(
    session: AsyncSession, run_id: uuid.UUID, live: Collection[uuid.UUID], now: datetime
) -> None:
    """Deletes the placements of a run's jobs that have ended, once it is known how they began.

    Args:
        session: The session, in which nothing else is written afterwards.
        run_id: The run.
        live: Its jobs that have not ended.
        now: The time.
    """
    found = await session.execute(
        select(PlacementRow.job_id)
        .where(
            PlacementRow.run_id == run_id,
            or_(PlacementRow.outcome.is_not(None), PlacementRow.since < now - _UNSETTLED_FOR),
        )
        .limit(len(live) + _PRUNED_AT_ONCE)
    )
    ended = [job_id for job_id in found.scalars() if job_id not in live]
    if ended:
        # In SQLite, a deletion of nothing would keep others from writing too.
        await session.execute(
            delete(PlacementRow).where(PlacementRow.job_id.in_(ended[:_PRUNED_AT_ONCE]))
        )


def active_runs() -> Select[Any]:
    """The runs that have not ended."""
    return select(RunModel.id).where(RunModel.status.not_in(RunStatus.finished_statuses()))


async def forget_finished_runs(session: AsyncSession) -> None:
    """Deletes what is kept of runs that have ended."""
    active = active_runs()
    for table in _OF_RUNS:
        await session.execute(delete(table).where(table.run_id.not_in(active)))
    await session.execute(
        delete(ReclaimRow).where(
            or_(ReclaimRow.run_id.not_in(active), ReclaimRow.for_run_id.not_in(active))
        )
    )
