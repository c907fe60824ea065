"""What the add-on keeps in dstack's database, in tables that the stock server ignores."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from weakref import WeakValueDictionary

from dstack._internal.core.models.runs import RunStatus
from dstack._internal.server.db import get_db, get_session_ctx
from dstack._internal.server.models import NaiveDateTime, RunModel
from dstack._internal.server.services.locking import get_locker, string_to_lock_id
from sqlalchemy import String, Text, Uuid, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

_LOCKS = "dstack_fleets_runs"
_queues: WeakValueDictionary[uuid.UUID, asyncio.Lock] = WeakValueDictionary()


class Base(DeclarativeBase):
    """Apart from dstack's own tables, so that its migrations never see these."""


class PlacementRow(Base):
    """The lane that one replica got.

    Attributes:
        job_id: The job of this submission of the replica.
        fleet: The lane's fleet as lanes name it; None while the replica fits nowhere.
        fleet_id: The fleet's id.
        reason: Why there: one of the engine's reasons, or `move`.
        why: The same in words.
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
    since: Mapped[datetime] = mapped_column(NaiveDateTime)
    outcome: Mapped[str | None] = mapped_column(String(20))


class CooldownRow(Base):
    """The cool-down of one lane; see `engine.Cooldown`.

    Attributes:
        pool: The engine's name of the pool that the lane belongs to.
        edition: A digest of the lanes and of the fleet's spec; a cool-down of other editions is
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
    """A baseline that is not held, so that its end is told once.

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


async def create() -> None:
    """Creates the tables where they are missing, once dstack's own are up to date."""
    async with get_db().engine.begin() as connection:
        if get_db().dialect_name == "postgresql":
            # Servers that start together would race between the check and the creation.
            await connection.execute(
                select(func.pg_advisory_xact_lock(string_to_lock_id("dstack_fleets_tables")))
            )
        await connection.run_sync(Base.metadata.create_all)


@asynccontextmanager
async def locked_run(run_id: uuid.UUID) -> AsyncIterator[AsyncSession]:
    """A session in which nobody else decides on this run; the caller commits once, at its end.

    One server on SQLite is serialised by dstack's locker, several on PostgreSQL by an advisory lock
    that ends with the transaction. Before either, the tasks of a server queue up: dstack's locker
    takes them in no order, and in PostgreSQL each would wait with a connection in its hands.
    """
    dialect = get_db().dialect_name
    queue = _queues.setdefault(run_id, asyncio.Lock())
    locker = get_locker(dialect)
    async with queue, locker.lock_ctx(_LOCKS, [run_id]), get_session_ctx() as session:
        if dialect == "postgresql":
            lock = string_to_lock_id(f"{_LOCKS}:{run_id}")
            await session.execute(select(func.pg_advisory_xact_lock(lock)))
        yield session


async def forget_finished_runs(session: AsyncSession) -> None:
    """Deletes what is kept of runs that have ended."""
    active = select(RunModel.id).where(RunModel.status.not_in(RunStatus.finished_statuses()))
    for table in (PlacementRow, CooldownRow, DeficitRow, UnreachableRow, RebalanceRow):
        await session.execute(delete(table).where(table.run_id.not_in(active)))
