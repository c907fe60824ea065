"""`get problems`: what is wrong."""

from __future__ import annotations

from collections.abc import Sequence

from dstack_api_client.analysis.since import Since
from dstack_api_client.errors import ApiError, CannotConnectError, UnauthorisedError
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Problem
from dstack_api_client.problems.routers import unread
from dstack_api_client.problems.watch import problems_of
from dstack_api_client.transport.client import Client
from dstack_api_client.transport.events import FILTER_ITEMS, in_groups
from dstack_api_client.whatif import not_survived
from dstack_fleets_tui.headless.kinds.record import Kind
from dstack_fleets_tui.headless.looking import Asked, Look, Source, placed, read_routers
from dstack_fleets_tui.names import selection
from dstack_fleets_tui.output.colours import colour, health_colour
from dstack_fleets_tui.output.payload import Item, health, optional_number, optional_time
from dstack_fleets_tui.output.table import Column
from dstack_fleets_tui.words import words
from dstack_fleets_tui.words.formatting import age, price

#: Instances of which is asked since when something is wrong with them.
_MOST_DATED = 20 * FILTER_ITEMS

COLUMNS = (
    Column("SEVERITY", paint=colour),
    Column("KIND"),
    Column("SUBJECT"),
    Column("HEALTH", paint=health_colour),
    Column("PROBLEM"),
    Column("$/H", right=True),
    Column("FOR", right=True),
    Column("HINT"),
)


async def read(source: Source, asked: Asked) -> Look:
    """Reads the project and looks for problems."""
    snapshot = await placed(source.feed, await source.snapshot())
    since = source.since
    services = selection.services(snapshot, None)
    snapshot = await read_routers(source.client, snapshot, services, since, ssh=asked.ssh)
    notes = await date(source.client, snapshot, since)
    lost = not_survived(snapshot) if asked.losses else ()
    found = problems_of(snapshot, snapshot.observed_at, since, others=lost)
    return Look(snapshot, found, notes=notes)


async def date(client: Client, snapshot: Snapshot, since: Since) -> tuple[str, ...]:
    """Learns since when something is wrong with instances, as far as events reach.

    Returns:
        Why that is not known of all of them.
    """
    undated = _undated(snapshot, since)
    try:
        for group in in_groups(undated[:_MOST_DATED], FILTER_ITEMS):
            since.learn(await client.events.newest({"target_instances": group}))
    except (CannotConnectError, UnauthorisedError):
        raise
    except ApiError as error:
        return (f"It is not known since when instances are in their state: {error.message}",)
    if len(undated) > _MOST_DATED:
        return (f"It is not known since when, for {len(undated) - _MOST_DATED} of the instances.",)
    return ()


def _undated(snapshot: Snapshot, since: Since) -> Sequence[str]:
    """Instances that something is wrong with, and no event that was read told since when."""
    return [
        instance.id
        for instance in snapshot.instances.values()
        if (instance.unreachable and instance.id not in since.unreachable)
        or (instance.health != "healthy" and instance.id not in since.health)
    ]


def choose(look: Look, asked: Asked) -> list[Problem]:
    """The problems that are asked for."""
    return [each for each in _problems_of(look, asked.name) if each.severity >= asked.severity]


def _problems_of(look: Look, name: str | None) -> Sequence[Problem]:
    """The problems of a service or fleet, or all of them, however bad."""
    if name is None:
        return look.problems
    ids = selection.either(look.snapshot, name)
    return [
        each
        for each in look.problems
        if (each.service_id is not None and each.service_id in ids)
        or (each.fleet_id is not None and each.fleet_id in ids)
    ]


def _unread(look: Look, asked: Asked) -> Sequence[str]:
    """What problems can't be known of; of a fleet, those of the services that have part in it."""
    if asked.name is None:
        return [*look.notes, *unread(look.snapshot)]
    service_id, fleet_id = selection.either(look.snapshot, asked.name)
    wanted = {
        service.id
        for service in look.snapshot.services.values()
        if service.id == service_id
        or (fleet_id is not None and any(share.fleet_id == fleet_id for share in service.shares))
    }
    return [*look.notes, *unread(look.snapshot, wanted), *look.snapshot.unreadable]


def _no_problem(look: Look, asked: Asked) -> str:
    if _problems_of(look, asked.name):
        return "No problems at this severity."
    if _unread(look, asked):
        return "Nothing is wrong, as far as it could be read."
    return "Nothing is wrong."


def cells(problem: Problem, snapshot: Snapshot) -> Sequence[str]:
    """One cell per column of `COLUMNS`."""
    return (
        problem.severity.name.lower(),
        problem.kind.value,
        problem.subject,
        words.affected(problem),
        problem.text,
        price(problem.price),
        age(problem.since, snapshot.observed_at) + ("+" if problem.at_least else ""),
        problem.hint,
    )


def item(problem: Problem, snapshot: Snapshot) -> Item:
    """One thing that is wrong."""
    service = snapshot.services.get(problem.service_id or "")
    fleet = snapshot.fleets.get(problem.fleet_id or "")
    return {
        "key": problem.key,
        "severity": problem.severity.name.lower(),
        "kind": problem.kind.value,
        "subject": problem.subject,
        "text": problem.text,
        "hint": problem.hint or None,
        "since": optional_time(problem.since),
        "service": service.name if service is not None else None,
        "fleet": fleet.name if fleet is not None else None,
        "price_per_hour": optional_number(problem.price),
        "impact": problem.impact.name.lower().replace("_", " "),
        "affects": [
            {"service": each.name, "health": health(each.health)} for each in problem.affects
        ],
    }


KIND = Kind(
    choose=choose,
    columns=COLUMNS,
    rows=lambda problem, snapshot: [cells(problem, snapshot)],
    item=item,
    read=read,
    notes=_unread,
    nothing=_no_problem,
    alarming=True,
    named=lambda item: str(item["key"]),
    identity=lambda item: str(item["key"]),
    wide=("service", "fleet", "impact", "key"),
    order=lambda problem: -int(problem.severity),
)
