"""Plans of fleets' edits carried out, and what of fleets is deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from dstack_api_client import errors
from dstack_api_client.clock import utc_now
from dstack_api_client.edits.base.base import Base, read_base
from dstack_api_client.edits.base.difference import (
    ChangeKind,
    FieldChange,
    NotInPlaceError,
    difference,
    refusal,
)
from dstack_api_client.edits.errors import InvalidEditError
from dstack_api_client.edits.fleet.fleet import FleetEdit
from dstack_api_client.edits.fleet.fleet_effects import Effects, effects
from dstack_api_client.edits.fleet.host_effects import host_effects
from dstack_api_client.edits.fleet.host_keys import key_files, spec_with_keys
from dstack_api_client.edits.offers.asking import FleetAnswer, ask_fleet
from dstack_api_client.edits.offers.prices import PlanOffer
from dstack_api_client.edits.outlook.warnings import PlanWarning, Risk
from dstack_api_client.edits.plan.applying import (
    LATE,
    LIMIT,
    Applied,
    OnSend,
    Sleep,
    send,
)
from dstack_api_client.edits.plan.planning import UPDATE, refuse_moved
from dstack_api_client.edits.service import texts
from dstack_api_client.edits.spec.configuration_file import variables
from dstack_api_client.model.capabilities import UNKNOWN
from dstack_api_client.model.configuration import readable
from dstack_api_client.model.fleet import Instance
from dstack_api_client.model.labels import borrowers
from dstack_api_client.model.profile import spec_yaml
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.text import one_line
from dstack_api_client.transport.client import Client

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
        spec: The whole spec that is sent; of an edit without the keys of hosts.
        expected: The spec that the server says it will store.
        changes: The fields that change; empty for a new one.
        action: The server's word: `update` or `create`; empty where there was nothing to ask.
        offers: What the server could start, cheapest first.
        starts: Instances that the server starts then.
        ends: Instances that it ends: those above `max` or no longer fit, if nothing runs there.
        above: Those of them that end because there are more than `max`.
        warnings: What to know before it is applied.
        made_at: When it was made.
        added: Hosts that the server sets up.
        with_jobs_only: Whether its backends start instances for jobs and none ahead of them.
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
    above: tuple[Instance, ...] = ()
    added: tuple[str, ...] = ()
    with_jobs_only: bool = False

    @property
    def applicable(self) -> bool:
        """Whether there is something to apply and the server can do it."""
        return bool(self.changes) if self.action == UPDATE else self.action == "create"


def as_text(edit: FleetEdit) -> str:
    """The edited configuration in YAML, secrets masked."""
    return spec_yaml(edit.spec)


async def with_text(client: Client, edit: FleetEdit, text: str) -> FleetEdit:
    """The edit with the configuration that somebody made of `as_text`.

    Raises:
        InvalidEditError: The text can't be read, or the server does not accept it.
        ApiError: The server could not be asked.
    """
    written = texts.parsed_for(edit.base.target, text)
    shown = readable(edit.configuration)
    if written == shown:
        return edit
    merged = texts.merged(edit.configuration, shown, written)
    return await _with_configuration(client, edit, merged)


async def with_file(
    client: Client, edit: FleetEdit, text: str, environment: Mapping[str, str]
) -> FleetEdit:
    """The edit with a whole configuration file, as `dstack apply -f` takes it.

    Args:
        client: Where.
        edit: The edit; the file replaces its configuration.
        text: The file's text.
        environment: Where variables that the file only names are looked up; one that is not there
            keeps the value that the fleet has.

    Raises:
        InvalidEditError: The text or a key can't be read, or the server does not accept it.
        ApiError: The server could not be asked.
    """
    written = texts.parsed_for(edit.base.target, text)
    written.setdefault("name", edit.base.target.name)
    if written.get("env"):
        written["env"] = variables(written["env"], environment, edit.base.configuration.get("env"))
    return await _with_configuration(client, edit, written)


async def _with_configuration(
    client: Client, edit: FleetEdit, configuration: Mapping[str, Any]
) -> FleetEdit:
    """The edit with a configuration as the server reads it."""
    spec = {**edit.spec, "configuration": {**configuration, "type": "fleet"}}
    answer = await _asked(client, edit.base.target.project, spec)
    return replace(edit, spec=answer.effective_spec or spec)


async def _asked(client: Client, project: str, spec: Mapping[str, Any]) -> FleetAnswer:
    """The server's plan, for which it wants the keys of hosts."""
    return await ask_fleet(client, project, await spec_with_keys(spec))


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
        raise InvalidEditError([problem.line for problem in wrong])
    base = await read_base(client, edit.base.target)
    base.refuse_gone()
    refuse_moved(edit.base, base, edit.spec)
    changes = difference(base.spec, edit.spec, "fleet", UNKNOWN)
    action, expected = "", base.spec
    offers: tuple[PlanOffer, ...] = ()
    if changes:
        answer = await _asked(client, base.target.project, edit.spec)
        if answer.action != UPDATE:
            raise _refusal(edit, changes)
        action, expected = answer.action, answer.effective_spec or edit.spec
        offers = answer.plan_offers
        changes = difference(base.spec, expected, "fleet", UNKNOWN)
    found = effects_of(edit, snapshot) if snapshot is not None else None
    warnings: tuple[PlanWarning, ...] = ()
    if changes:
        ends = found is not None and bool(found.ends)
        warnings = (*_warnings(found, offers), *await _lent(client, base, ends=ends))
    return FleetPlan(
        base=base,
        project=base.target.project,
        name=base.target.name,
        spec=edit.spec,
        expected=expected,
        changes=changes,
        action=action,
        offers=offers,
        starts=found.starts if found is not None else 0,
        ends=found.ends if found is not None else (),
        warnings=warnings,
        made_at=utc_now(),
        above=found.above if found is not None else (),
        added=found.added if found is not None else (),
        with_jobs_only=found is not None and found.with_jobs_only,
    )


def effects_of(edit: FleetEdit, snapshot: Snapshot) -> Effects | None:
    """What would follow from an edit now; None where the snapshot does not have the fleet."""
    return host_effects(edit, snapshot) if edit.is_ssh else effects(edit, snapshot)


def _refusal(edit: FleetEdit, changes: Sequence[FieldChange]) -> NotInPlaceError:
    files = key_files(edit.configuration)
    if files and all(change.kind is ChangeKind.NO_RESTART for change in changes):
        return NotInPlaceError(
            f"The server does not change {one_line(edit.base.target.name)} in place: a key that was"
            " read here, or the public key beside it, is another one than the fleet has"
            f" ({', '.join(map(one_line, files))}).",
            "Put the key with which the fleet was made there.",
            changes,
        )
    return refusal(changes, "while the fleet exists", "Leave it as it was, or make another fleet.")


async def apply_fleet(
    client: Client,
    plan: FleetPlan,
    *,
    sleep: Sleep = asyncio.sleep,
    limit: float = LIMIT,
    late: float = LATE,
    on_send: OnSend = lambda before, after: None,
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
    keyed = await spec_with_keys(plan.spec)
    return await send(
        client,
        plan.base,
        (plan.spec, plan.expected),
        lambda base: when_free(
            lambda: client.fleets.apply(plan.project, keyed, base.current), sleep
        ),
        sleep=sleep,
        limit=limit,
        late=late,
        on_send=on_send,
    )


async def delete_fleet(
    client: Client,
    base: Base,
    *,
    sleep: Sleep = asyncio.sleep,
    on_send: Callable[[], None] = lambda: None,
) -> None:
    """Deletes a fleet with all of its instances; the caller has asked for confirmation.

    `on_send` is told just before it is sent.

    Raises:
        EndedError: It is going already, or another fleet has its name now.
        RefusedError: It is in use.
        ApiError: It could not be asked for.
    """
    await _refuse_another(client, base)
    target = base.target
    on_send()
    await when_free(lambda: client.fleets.delete(target.project, target.name), sleep)


async def delete_instances(
    client: Client,
    base: Base,
    numbers: Sequence[int],
    *,
    sleep: Sleep = asyncio.sleep,
    on_send: Callable[[], None] = lambda: None,
) -> None:
    """Ends idle instances of a fleet by their numbers; the caller has asked for confirmation.

    `on_send` is told just before it is sent.

    Raises:
        EndedError: The fleet is going, or another one has its name now.
        RefusedError: One of them is in use.
        ApiError: It could not be asked for.
    """
    await _refuse_another(client, base)
    target = base.target
    on_send()
    await when_free(
        lambda: client.fleets.delete_instances(target.project, target.name, numbers), sleep
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
    client.refuse_read_only()
    now = await read_base(client, base.target)
    now.refuse_gone()
    if now.id != base.id:
        refuse_moved(base, now, base.spec)


def _warnings(found: Effects | None, offers: Sequence[PlanOffer]) -> tuple[PlanWarning, ...]:
    if found is None:
        return ()
    if not found.starts or any(offer.availability == "available" for offer in offers):
        return found.warnings
    line = "No offer is available now for the instances to start."
    return (PlanWarning("no-offers", Risk.WARNING, line), *found.warnings)


async def _lent(client: Client, base: Base, *, ends: bool) -> tuple[PlanWarning, ...]:
    """To whom the fleet is lent: what runs there of theirs, and what shall, concerns them."""
    try:
        names = await client.exports.borrowers(base.target.project, base.id)
    except errors.ApiError as error:
        line = f"It is not known which projects the fleet is exported to: {error.message}"
        return (PlanWarning("lent", Risk.NOTE, line),)
    if not names:
        return ()
    line = f"The fleet is exported to {borrowers(names)}: it changes for their runs too."
    return (PlanWarning("lent", Risk.WARNING if ends else Risk.NOTE, line),)
