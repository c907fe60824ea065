"""Having a server move a service's replicas until its lanes have their targets."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from dstack_api_client.cleaning import one_line
from dstack_api_client.client import Client
from dstack_api_client.edits.base import Base
from dstack_api_client.edits.dryrun import dry_run
from dstack_api_client.edits.errors import EditError
from dstack_api_client.edits.keeping import Store
from dstack_api_client.edits.service import ServiceEdit
from dstack_api_client.snapshot import Snapshot

#: What the placement add-on calls it.
REBALANCE = "rebalance"


@dataclass(frozen=True, slots=True)
class Move:
    """One replica that moves: a new one starts in `to`, and it stops when that one is ready."""

    replica: int
    group: str
    fleet: str | None
    to: str


async def moves_of(client: Client, base: Base, snapshot: Snapshot) -> tuple[Move, ...] | None:
    """Which replicas a rebalancing would move; changes nothing.

    Returns:
        The moves; None while a rolling deployment hides them.

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
        return None
    return tuple(
        Move(row.number, row.group, row.fleet, row.to)
        for row in outlook.replicas
        if row.action == "move" and row.to is not None
    )


async def rebalance(
    client: Client, base: Base, store: Store, *, user: str = ""
) -> tuple[Move, ...]:
    """Asks for it; the caller has asked for confirmation.

    Args:
        client: Where.
        base: The service.
        store: Where the audit log is.
        user: The server's user, for the log.

    Returns:
        The moves that the server will make, one after the other.

    Raises:
        ReadOnlyError: The client only reads; nothing was sent.
        NotKeptError: It was asked for, and the audit log could not be written.
        ApiError: The server refused it.
    """
    target = base.target
    body = await client.rebalance(target.project, target.name)
    answer = client.decode(body, _answer.decode, f"the rebalancing of {target.name}")
    found = tuple(
        Move(
            move.replica_num,
            one_line(move.group),
            None if move.fleet is None else one_line(move.fleet),
            one_line(move.to),
        )
        for move in answer.moves
    )
    store.audit(target, (), f"{len(found)} moves asked for", user=user, action=REBALANCE)
    return found


class _Move(msgspec.Struct):
    replica_num: int
    to: str
    group: str = ""
    fleet: str | None = None


class _Answer(msgspec.Struct):
    moves: list[_Move] = []


_answer = msgspec.json.Decoder(_Answer)
