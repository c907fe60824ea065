"""The plan of an edit: what changes, what the server says to it, and what to be warned of."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from dstack_api_client.analysis.lane_input import NOT_ASKED, Offered
from dstack_api_client.clock import utc_now
from dstack_api_client.edits.base.base import Base, read_base
from dstack_api_client.edits.base.difference import (
    ChangeKind,
    FieldChange,
    NotInPlaceError,
    difference,
    refusal,
)
from dstack_api_client.edits.base.merging import ConflictError, three_way
from dstack_api_client.edits.errors import EndedError, InvalidEditError
from dstack_api_client.edits.offers.asking import ask_offers, ask_run
from dstack_api_client.edits.offers.prices import PlanOffer
from dstack_api_client.edits.outlook.dryrun import dry_run, with_landings
from dstack_api_client.edits.outlook.outlooks import DryRun
from dstack_api_client.edits.outlook.warnings import PlanWarning, warnings_of
from dstack_api_client.edits.plan.certainty import unsure_fleets
from dstack_api_client.edits.plan.surging import landings, surges
from dstack_api_client.edits.service import checks
from dstack_api_client.edits.service.service import LANE_FIELDS, ServiceEdit, what_is_missing
from dstack_api_client.edits.spec import fields
from dstack_api_client.edits.spec.group_roles import label_of
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.text import one_line
from dstack_api_client.transport.client import Client
from dstack_placement.engine import ONLY_GROUP

UPDATE = "update"
#: Fleets that the server is asked about for one plan.
_MOST_FLEETS = 8


@dataclass(frozen=True)
class Plan:
    """What an edit comes to. Only one that is `applicable` can be applied.

    Attributes:
        edit: The edit, on `base`.
        base: The service as it was read for this plan.
        changes: The fields that change.
        expected: The spec that the server says it will store.
        action: The server's word: `update`; empty where there was nothing to ask.
        dry_run: What it would do to the replicas; None where that can't be told.
        offers: What the server could start, cheapest first within a replica group.
        warnings: What to know before it is applied, the gravest first.
        made_at: When it was made, by this machine's clock.
    """

    edit: ServiceEdit
    base: Base
    changes: tuple[FieldChange, ...]
    expected: Mapping[str, Any]
    action: str
    dry_run: DryRun | None
    offers: tuple[PlanOffer, ...]
    warnings: tuple[PlanWarning, ...]
    made_at: datetime

    @property
    def applicable(self) -> bool:
        """Whether there is something to apply and the server can do it in place."""
        return self.action == UPDATE and bool(self.changes)

    @property
    def restarts(self) -> bool:
        """Whether replicas may be started again for it."""
        return any(change.kind is not ChangeKind.NO_RESTART for change in self.changes)

    @property
    def spec(self) -> Mapping[str, Any]:
        """The whole spec that is sent."""
        return self.edit.spec


async def make_plan(
    client: Client,
    edit: ServiceEdit,
    *,
    snapshot: Snapshot | None = None,
    known: Collection[str] | None = None,
    notes: Sequence[PlanWarning] = (),
) -> Plan:
    """Plans an edit on the service as it is now.

    Args:
        client: Where.
        edit: The edit.
        snapshot: What is known of the project, for the dry run; without it there is none.
        known: The fleets that lanes may name, if not the snapshot's.
        notes: What else to be told, whether anything changes or not.

    Raises:
        InvalidEditError: Something in it is wrong; it has a line for each reason.
        NotInPlaceError: The server can't change this while the service runs.
        EndedError: The service has ended, or another one has its name now.
        ConflictError: Somebody else changed it since the edit began.
        ApiError: The server could not be asked.
    """
    if known is None and snapshot is not None:
        known = checks.known_fleets(snapshot)
    _refuse_problems(edit, known)
    base = await read_base(client, edit.base.target)
    base.refuse_gone()
    refuse_moved(edit.base, base, edit.spec)
    edit = replace(edit, base=base)
    changes = difference(base.spec, edit.spec, "service", edit.capabilities)
    made_at = utc_now()
    if not changes:
        return Plan(edit, base, (), base.spec, "", None, (), tuple(notes), made_at)
    _refuse_unknown_fields(edit)
    answer = await ask_run(client, base.target.project, edit.spec)
    if answer.action != UPDATE:
        raise refusal(
            changes,
            "while the service runs",
            "Leave it as it was, or stop the service and apply its file with `dstack apply`.",
        )
    expected = answer.effective_run_spec or dict(edit.spec)
    offers = answer.offers
    outlook, offered = None, NOT_ASKED
    if snapshot is not None:
        outlook = await dry_run(client, edit, snapshot, offers=offers)
    # What the server makes of it is what is going to be stored, and so what is shown.
    shown = difference(base.spec, expected, "service", edit.capabilities)
    if outlook is not None and snapshot is not None:
        outlook = replace(outlook, surges=surges(edit, snapshot, shown))
        if outlook.starts:
            in_fleets, offered = await offers_in_fleets(client, edit, outlook, snapshot)
            if offered:
                offers = in_fleets
                outlook = await dry_run(client, edit, snapshot, offers=offers, offered=offered)
                if outlook is not None:
                    outlook = replace(outlook, surges=surges(edit, snapshot, shown, offered))
        if outlook is not None:
            landed = landings(edit, snapshot, shown, offered)
            outlook = with_landings(outlook, landed, edit, snapshot, offers)
            outlook = replace(outlook, unsure=unsure_fleets(edit, outlook, snapshot, offers))
    found = warnings_of(
        edit,
        outlook,
        snapshot,
        now=client.server_time(made_at),
        changed_by_server=_differs(edit, expected),
    )
    return Plan(
        edit, base, shown, expected, answer.action, outlook, offers, (*found, *notes), made_at
    )


def refuse_moved(base: Base, now: Base, mine: Mapping[str, Any]) -> None:
    """Makes sure that what an edit began with is still there.

    Raises:
        EndedError: Another run or fleet has the name now.
        ConflictError: Its spec was changed.
    """
    name = one_line(base.target.name)
    if now.id != base.id:
        raise EndedError(
            f"{name} is not the one that the edit began with: it ended and was started again.",
            "Begin the edit again.",
        )
    if not fields.same(now.spec, base.spec):
        raise ConflictError(
            f"Somebody else changed {name} since the edit began"
            + (
                f" (deployment {base.deployment}, now {now.deployment})." if now.deployment else "."
            ),
            "Look at both changes and plan again.",
            three_way(base, now, mine),
        )


async def offers_in_fleets(
    client: Client, edit: ServiceEdit, outlook: DryRun, snapshot: Snapshot
) -> tuple[tuple[PlanOffer, ...], Offered]:
    """What the server offers in the fleets that the replicas may go to, as far as it tells.

    Args:
        client: Where.
        edit: Whose spec is asked about.
        outlook: The lanes.
        snapshot: The fleets that there are.
    """
    fleets = [
        name
        for name in dict.fromkeys(lane.fleet for lane in outlook.lanes)
        if snapshot.fleet_named(name) is not None
    ]
    project = edit.base.target.project
    answers = await asyncio.gather(
        *(ask_offers(client, project, edit.spec, fleet) for fleet in fleets[:_MOST_FLEETS])
    )
    offers: list[PlanOffer] = []
    offered: dict[str, dict[str, bool]] = {}
    for fleet, answer in zip(fleets, answers, strict=False):
        if answer is None or not answer.groups:
            continue
        here = answer.offers_in(fleet)
        offers += here
        new = {offer.group or ONLY_GROUP for offer in here if offer.usable and offer.is_new}
        offered[fleet] = {group: group in new for group in answer.groups}
    return tuple(offers), offered


def _refuse_problems(edit: ServiceEdit, known: Collection[str] | None) -> None:
    found = checks.problems(edit, known)
    if found:
        raise InvalidEditError(list(dict.fromkeys(problem.line for problem in found)))


def _refuse_unknown_fields(edit: ServiceEdit) -> None:
    """Keeps a stock server from being sent what its schema does not know."""
    if edit.capabilities.lanes:
        return
    for path, (was, _) in edit.changes.items():
        of_group = path[:2] == ("configuration", "groups") and "fleets" in path[3:4]
        if was is fields.ABSENT and "fleets" in path and (path[-1] in LANE_FIELDS or of_group):
            raise NotInPlaceError(*what_is_missing(edit.capabilities))


def _differs(edit: ServiceEdit, expected: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the fields that the server stores otherwise than they are sent."""
    labels = edit.read.labels
    return tuple(label_of(path, labels) for path in fields.changes(edit.spec, expected))
