"""Having a server move a service's replicas until its lanes have their targets."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from dstack_api_client import errors
from dstack_api_client.edits.base.base import Base
from dstack_api_client.edits.errors import EditError
from dstack_api_client.edits.outlook.dryrun import dry_run
from dstack_api_client.edits.outlook.outlooks import DryRun
from dstack_api_client.edits.outlook.warnings import PlanWarning, of_addresses
from dstack_api_client.edits.perform.performing import Performed
from dstack_api_client.edits.perform.requesting import begun, requested
from dstack_api_client.edits.plan.planning import offers_in_fleets
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.model.capabilities import Capabilities
from dstack_api_client.model.labels import counted
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.text import one_line
from dstack_api_client.transport.client import Client

#: What the placement add-on calls it.
REBALANCE = "rebalance"


@dataclass(frozen=True, slots=True)
class Move:
    """One replica that moves: a new one starts in `to`, and it stops when that one is ready."""

    replica: int
    group: str
    fleet: str | None
    to: str


@dataclass(frozen=True)
class Rebalanced(Performed):
    """What was asked for.

    Attributes:
        moves: The moves that the server will make, one after the other.
    """

    moves: tuple[Move, ...] = ()


@dataclass(frozen=True)
class Prospect:
    """What a rebalancing would do.

    Attributes:
        outlook: The replicas; None where that is not known.
        moves: Those that would move; None while a rolling deployment hides them.
        warnings: What to know before.
    """

    outlook: DryRun | None
    moves: tuple[Move, ...] | None
    warnings: tuple[PlanWarning, ...] = ()


async def prospect(client: Client, base: Base, snapshot: Snapshot) -> Prospect:
    """Which replicas a rebalancing would move; changes nothing.

    Raises:
        EndedError: The service has ended.
        EditError: The server can't rebalance.
        ApiError: The server could not be asked.
    """
    base.refuse_gone()
    _refuse_unable(snapshot.capabilities)
    edit = ServiceEdit.begin(base, snapshot.capabilities)
    outlook = await dry_run(client, edit, snapshot, rebalance=True)
    service = snapshot.services.get(base.id)
    if outlook is None or service is None or service.at_deployment < service.active:
        return Prospect(outlook, None)
    if outlook.unpriced:
        offers, _ = await offers_in_fleets(client, edit, outlook, snapshot)
        outlook = await dry_run(client, edit, snapshot, rebalance=True, offers=offers) or outlook
    moves = tuple(
        Move(row.number, row.group, row.fleet, row.to)
        for row in outlook.replicas
        if row.action == "move" and row.to is not None
    )
    return Prospect(outlook, moves, tuple(of_addresses(edit, outlook)))


async def rebalance(client: Client, base: Base, store: Store, *, user: str = "") -> Rebalanced:
    """Asks for it, and writes the audit log whatever came of it.

    The caller has asked for confirmation.

    Args:
        client: Where.
        base: The service.
        store: Where the audit log is.
        user: The server's user, by `performing.who`.

    Raises:
        ReadOnlyError: The client only reads; nothing was sent.
        UnansweredError: It was sent, and whether it was done is not known.
        ApiError: The server refused it, or it could not be sent.
    """
    target = base.target
    name = one_line(target.name)
    record = begun(client, store, target, user=user, action=REBALANCE)

    async def ask() -> _Answer:
        body = await client.placements.rebalance(target.project, target.name)
        return client.decode(body, _answer.decode, f"the rebalancing of {name}")

    async def became(error: errors.ApiError) -> bool | None:
        return False if error.said_by_server and await _is_idle(client, base) else None

    what = f"The rebalancing of {name}"
    answer = await requested(record, ask, what, not_done="not asked for", became=became)
    moves = tuple(
        Move(
            move.replica_num,
            one_line(move.group),
            None if move.fleet is None else one_line(move.fleet),
            one_line(move.to),
        )
        for move in (answer.moves if answer is not None else ())
    )
    record.applied(f"{counted(len(moves), 'move')} asked for")
    return Rebalanced(base, None, tuple(record.notices), _moving(len(moves), name), moves)


async def is_under_way(client: Client, base: Base, capabilities: Capabilities) -> bool:
    """Whether a server moves replicas of a service now.

    Raises:
        EditError: The server can't rebalance.
        ApiError: The server could not be asked.
    """
    _refuse_unable(capabilities)
    return await client.placements.rebalancing(base.target.project, base.target.name)


def _refuse_unable(capabilities: Capabilities) -> None:
    if not capabilities.can(REBALANCE):
        raise EditError(
            "This server can't rebalance services: its placement add-on is missing or older.",
            "Install or update 'dstack-fleets-tui[server]' there.",
        )


async def cancel(client: Client, base: Base, store: Store, *, user: str = "") -> Performed:
    """Ends a rebalancing, and writes the audit log whatever came of it.

    The caller has asked for confirmation.

    Args:
        client: Where.
        base: The service.
        store: Where the audit log is.
        user: The server's user, by `performing.who`.

    Raises:
        ReadOnlyError: The client only reads; nothing was sent.
        UnansweredError: It was sent, and whether it was done is not known.
        ApiError: The server refused it, or it could not be sent.
    """
    target = base.target
    record = begun(client, store, target, user=user, action=REBALANCE)

    async def ask() -> None:
        await client.placements.rebalance(target.project, target.name, cancel=True)

    async def became(error: errors.ApiError) -> bool | None:
        return True if await _is_idle(client, base) else None

    what = f"The end of the rebalancing of {one_line(target.name)}"
    await requested(record, ask, what, not_done="not cancelled", became=became)
    record.applied("cancelled")
    line = (
        f"The rebalancing of {one_line(target.name)} is cancelled; a move that is under way is"
        " finished."
    )
    return Performed(base, None, tuple(record.notices), line)


async def _is_idle(client: Client, base: Base) -> bool:
    """Whether the server can be read and moves no replica of the service."""
    project, name = base.target.project, base.target.name
    try:
        return not await client.placements.rebalancing(project, name)
    except errors.ApiError:
        return False


class _Move(msgspec.Struct):
    replica_num: int
    to: str
    group: str = ""
    fleet: str | None = None


class _Answer(msgspec.Struct):
    moves: list[_Move]


_answer = msgspec.json.Decoder(_Answer)


def _moving(number: int, name: str) -> str:
    if number == 1:
        return f"The server moves 1 replica of {name}."
    return f"The server moves {number} replicas of {name}, one at a time."
