"""Plans of fleets' edits carried out, and what of fleets is deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from dstack_api_client import errors
from dstack_api_client.capabilities import UNKNOWN
from dstack_api_client.cleaning import one_line
from dstack_api_client.client import Client
from dstack_api_client.configuration import as_yaml, readable
from dstack_api_client.edits import texts
from dstack_api_client.edits.applying import (
    CHANGED,
    LATE,
    LIMIT,
    Applied,
    Check,
    Sleep,
    confirmed,
    conflict,
)
from dstack_api_client.edits.asking import ask_fleet
from dstack_api_client.edits.base import Base, read_base
from dstack_api_client.edits.difference import FieldChange, difference, not_in_place
from dstack_api_client.edits.errors import InvalidEditError, NotInPlaceError
from dstack_api_client.edits.fleet import FleetEdit
from dstack_api_client.edits.planning import UPDATE, refuse_moved
from dstack_api_client.edits.prices import PlanOffer
from dstack_api_client.edits.warnings import PlanWarning, Risk
from dstack_api_client.snapshot import INSTANCE_GONE, Instance, Snapshot
from dstack_api_client.writer import UnansweredError

#: How often a fleet that the server is working on is tried, and the seconds between.
_TRIES, _WAIT = 20, 0.5
_BUSY = "being processed currently"


@dataclass(frozen=True)
class FleetPlan:
    """What an edit of a fleet, or a new fleet, comes to.

    Attributes:
        base: The fleet as it was read for this plan; None for a new one.
        project: Its project.
        name: Its name.
        spec: The whole spec that is sent.
        expected: The spec that the server says it will store.
        changes: The fields that change; empty for a new one.
        action: The server's word: `update` or `create`; empty where there was nothing to ask.
        offers: What the server could start, cheapest first.
        starts: Instances that the change starts at once.
        ends: Instances that it ends at once: idle ones above `max`.
        warnings: What to know before it is applied.
        made_at: When it was made.
    """

    base: Base | None
    project: str
    name: str
    spec: Mapping[str, Any]
    expected: Mapping[str, Any]
    changes: tuple[FieldChange, ...]
    action: str
    offers: tuple[PlanOffer, ...]
    starts: int
    ends: tuple[Instance, ...]
    warnings: tuple[PlanWarning, ...]
    made_at: datetime

    @property
    def applicable(self) -> bool:
        """Whether there is something to apply and the server can do it."""
        return bool(self.changes) if self.action == UPDATE else self.action == "create"


def as_text(edit: FleetEdit) -> str:
    """The edited configuration in YAML, secrets masked."""
    return as_yaml(edit.configuration)


async def with_text(client: Client, edit: FleetEdit, text: str) -> FleetEdit:
    """The edit with the configuration that somebody made of `as_text`.

    Raises:
        InvalidEditError: The text can't be read, or the server does not accept it.
        ApiError: The server could not be asked.
    """
    written = texts.parsed(text)
    shown = readable(edit.configuration)
    if written == shown:
        return edit
    name = edit.base.target.name
    if written.get("type", "fleet") != "fleet" or written.get("name", name) != name:
        raise InvalidEditError(
            [f"The text is not of the fleet {one_line(name)}. Leave `type` and `name` alone."]
        )
    merged = texts.merged(edit.configuration, shown, written)
    spec = {**edit.spec, "configuration": {**merged, "type": "fleet"}}
    answer = await ask_fleet(client, edit.base.target.project, spec)
    return replace(edit, spec=answer.effective_spec or spec)


async def plan_fleet(
    client: Client, edit: FleetEdit, *, snapshot: Snapshot | None = None
) -> FleetPlan:
    """Plans an edit on the fleet as it is now.

    Raises:
        InvalidEditError: Something in it is wrong; it has a line for each reason.
        NotInPlaceError: The fleet can't change this in place.
        EndedError: The fleet is going, or another one has its name now.
        ConflictError: Somebody else changed it since the edit began.
        ApiError: The server could not be asked.
    """
    wrong = edit.problems()
    if wrong:
        raise InvalidEditError(wrong)
    base = await read_base(client, edit.base.target)
    base.refuse_gone()
    refuse_moved(edit.base, base, edit.spec)
    changes = difference(base.spec, edit.spec, "fleet", UNKNOWN)
    action, expected = "", base.spec
    offers: tuple[PlanOffer, ...] = ()
    if changes:
        answer = await ask_fleet(client, base.target.project, edit.spec)
        if answer.action != UPDATE:
            names = ", ".join(change.name for change in not_in_place(changes))
            raise NotInPlaceError(
                f"{names or 'This'} can't be changed while the fleet exists.",
                "Leave it as it was, or make another fleet.",
            )
        action, expected = answer.action, answer.effective_spec or edit.spec
        offers = answer.plan_offers
        changes = difference(base.spec, expected, "fleet", UNKNOWN)
    starts, ends, warnings = _effects(edit, snapshot, offers)
    return FleetPlan(
        base=base,
        project=base.target.project,
        name=base.target.name,
        spec=edit.spec,
        expected=expected,
        changes=changes,
        action=action,
        offers=offers,
        starts=starts,
        ends=ends,
        warnings=warnings,
        made_at=datetime.now(timezone.utc),
    )


async def apply_fleet(
    client: Client,
    plan: FleetPlan,
    *,
    sleep: Sleep = asyncio.sleep,
    limit: float = LIMIT,
    late: float = LATE,
) -> Applied:
    """Applies the plan of an edit.

    The fleet is read again just before. The request is sent once, and again only after the server
    said that it did nothing because it was working on the fleet.

    Raises:
        EditError: As `applying.apply`.
        ReadOnlyError: The client only reads; nothing was sent.
        ApiError: The server refused it; nothing was changed.
    """
    if plan.base is None or not plan.applicable:
        raise NotInPlaceError("This plan can't be applied.", "Change the edit and plan again.")
    base = await read_base(client, plan.base.target)
    base.refuse_gone()
    refuse_moved(plan.base, base, plan.spec)
    answered = True
    try:
        await when_free(lambda: client.apply_fleet(plan.project, plan.spec, base.current), sleep)
    except UnansweredError:
        answered = False
    except errors.RefusedError as error:
        if CHANGED not in str(error).lower():
            raise
        now = await read_base(client, base.target)
        raise conflict(base, now, plan.spec) from error
    check = Check(base, plan.spec, plan.expected, answered=answered)
    now = await confirmed(client, check, sleep=sleep, limit=limit, late=late)
    return Applied(base.target, base, now, answered, datetime.now(timezone.utc))


async def delete_fleet(client: Client, base: Base, *, sleep: Sleep = asyncio.sleep) -> None:
    """Deletes a fleet with all of its instances; the caller has asked for confirmation.

    Raises:
        EndedError: It is going already, or another fleet has its name now.
        RefusedError: It is in use.
        ApiError: It could not be asked for.
    """
    await _refuse_another(client, base)
    target = base.target
    await when_free(lambda: client.delete_fleet(target.project, target.name), sleep)


async def delete_instances(
    client: Client, base: Base, numbers: Sequence[int], *, sleep: Sleep = asyncio.sleep
) -> None:
    """Ends idle instances of a fleet by their numbers; the caller has asked for confirmation.

    Raises:
        EndedError: The fleet is going, or another one has its name now.
        RefusedError: One of them is in use.
        ApiError: It could not be asked for.
    """
    await _refuse_another(client, base)
    target = base.target
    await when_free(lambda: client.delete_instances(target.project, target.name, numbers), sleep)


def idle_instances(snapshot: Snapshot, fleet_id: str) -> tuple[Instance, ...]:
    """The instances of a fleet on which nothing runs, by number."""
    fleet = snapshot.fleets.get(fleet_id)
    found = [snapshot.instances.get(each) for each in fleet.instance_ids] if fleet else []
    return tuple(
        instance
        for instance in found
        if instance is not None and instance.status == "idle" and not instance.busy_blocks
    )


async def when_free(send: Callable[[], Awaitable[object]], sleep: Sleep) -> None:
    """Sends a change, and again as long as the server says that it is busy and did nothing."""
    for attempt in range(1, _TRIES + 1):
        try:
            await send()
        except errors.RefusedError as error:
            if _BUSY not in str(error).lower() or attempt == _TRIES:
                raise
        else:
            return
        await sleep(_WAIT)


async def _refuse_another(client: Client, base: Base) -> None:
    now = await read_base(client, base.target)
    now.refuse_gone()
    if now.id != base.id:
        refuse_moved(base, now, base.spec)


def _effects(
    edit: FleetEdit, snapshot: Snapshot | None, offers: Sequence[PlanOffer]
) -> tuple[int, tuple[Instance, ...], tuple[PlanWarning, ...]]:
    """What the server does at once to keep `min` and `max`."""
    fleet = snapshot.fleets.get(edit.base.id) if snapshot is not None else None
    if snapshot is None or fleet is None:
        return 0, (), ()
    here = [
        instance
        for each in fleet.instance_ids
        if (instance := snapshot.instances.get(each)) is not None
        and instance.status not in INSTANCE_GONE
    ]
    nodes = edit.nodes
    starts = max(nodes.least - len(here), 0)
    warnings = []
    ends: tuple[Instance, ...] = ()
    above = len(here) - nodes.greatest if nodes.greatest is not None else 0
    if above > 0:
        ends = idle_instances(snapshot, fleet.id)[:above]
        if len(ends) < above:
            warnings.append(
                PlanWarning(
                    "above-maximum",
                    Risk.NOTE,
                    f"{above - len(ends)} busy instances stay above `max` until they are idle.",
                )
            )
    if starts and not any(offer.availability == "available" for offer in offers):
        warnings.append(
            PlanWarning(
                "no-offers", Risk.WARNING, "No offer is available now for the instances to start."
            )
        )
    before = FleetEdit(edit.base, edit.base.spec).nodes
    if nodes.target != before.target and nodes.target > max(nodes.least, len(here)):
        warnings.append(
            PlanWarning(
                "target", Risk.NOTE, "`target` is only stored: it starts nothing by itself."
            )
        )
    return starts, ends, tuple(warnings)
