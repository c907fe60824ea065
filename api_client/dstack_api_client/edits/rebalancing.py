"""Having a server move a service's replicas until its lanes have their targets."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from dstack_api_client import errors
from dstack_api_client.cleaning import one_line
from dstack_api_client.client import Client
from dstack_api_client.edits.base import Base
from dstack_api_client.edits.dryrun import DryRun, dry_run
from dstack_api_client.edits.errors import EditError, NotKeptError
from dstack_api_client.edits.keeping import Store
from dstack_api_client.edits.performing import Performed
from dstack_api_client.edits.service import ServiceEdit
from dstack_api_client.snapshot import Snapshot
from dstack_api_client.writer import ReadOnlyError, UnansweredError

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
    """

    outlook: DryRun | None
    moves: tuple[Move, ...] | None


async def prospect(client: Client, base: Base, snapshot: Snapshot) -> Prospect:
    """Which replicas a rebalancing would move; changes nothing.

    Raises:
        EndedError: The service has ended.
        EditError: The server can't rebalance.
        ApiError: The server could not be asked.
    """
    base.refuse_gone()
    if not snapshot.capabilities.can(REBALANCE):
        raise EditError(
            "This server can't rebalance services: its placement add-on is missing or older.",
            "Install or update 'dstack-fleets-tui[server]' there.",
        )
    edit = ServiceEdit.begin(base, snapshot.capabilities)
    outlook = await dry_run(client, edit, snapshot, rebalance=True)
    service = snapshot.services.get(base.id)
    if outlook is None or service is None or service.at_deployment < service.active:
        return Prospect(outlook, None)
    moves = tuple(
        Move(row.number, row.group, row.fleet, row.to)
        for row in outlook.replicas
        if row.action == "move" and row.to is not None
    )
    return Prospect(outlook, moves)


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
        ApiError: The server refused it.
    """
    target = base.target
    name = one_line(target.name)
    try:
        body = await client.rebalance(target.project, target.name)
        answer = client.decode(body, _answer.decode, f"the rebalancing of {name}")
    except ReadOnlyError:
        raise
    except errors.ApiError as error:
        unknown = isinstance(error, UnansweredError | errors.WrongShapeError)
        known = "not known" if unknown else "not asked for"
        notice = _noted(base, store, f"{known}: {one_line(error.message)}", user)
        error.hint = f"{error.hint} {notice}".strip()
        raise
    moves = tuple(
        Move(
            move.replica_num,
            one_line(move.group),
            None if move.fleet is None else one_line(move.fleet),
            one_line(move.to),
        )
        for move in answer.moves
    )
    notice = _noted(base, store, f"{len(moves)} moves asked for", user)
    line = f"The server moves {len(moves)} of the replicas of {name}, one at a time."
    return Rebalanced(base, None, (notice,) if notice else (), line, moves)


def _noted(base: Base, store: Store, result: str, user: str) -> str:
    try:
        store.audit(base.target, (), result, user=user, action=REBALANCE)
    except NotKeptError as error:
        return f"The audit log could not be written. {error}"
    return ""


class _Move(msgspec.Struct):
    replica_num: int
    to: str
    group: str = ""
    fleet: str | None = None


class _Answer(msgspec.Struct):
    moves: list[_Move] = []


_answer = msgspec.json.Decoder(_Answer)
