"""What `get` can print: of each kind which things there are, their columns and their keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dstack_api_client.analysis.distribution import Distribution, distribution_of
from dstack_api_client.events.stream import Event
from dstack_api_client.model.router import RouterView
from dstack_api_client.model.service import Service
from dstack_api_client.problems.model import Problem
from dstack_api_client.problems.routers import unread
from dstack_fleets_tui.headless import cockpit_views, select, views
from dstack_fleets_tui.headless.looking import Asked, Look
from dstack_fleets_tui.output import payload
from dstack_fleets_tui.output.payload import Item, Kind
from dstack_fleets_tui.output.table import Column


@dataclass(frozen=True)
class Shown:
    """How one kind is printed.

    Attributes:
        choose: The things that are asked for.
        columns: Of the table.
        rows: The rows of one thing, each a cell per column.
        item: The object of one thing in JSON and YAML.
        above: Lines above the table.
        below: Lines below the table.
        notes: What can't be known, below the table or in its place, and in JSON and YAML; None
            for a kind that tells it of each thing.
        nothing: What is printed in place of a table without rows; None for its header alone.
    """

    choose: Callable[[Look, Asked], Sequence[Any]]
    columns: Sequence[Column]
    rows: Callable[[Any, Look], Iterable[Sequence[str]]]
    item: Callable[[Any, Look], Item]
    above: Callable[[Sequence[Any], Look], Sequence[str]] = lambda things, look: ()
    below: Callable[[Sequence[Any], Look], Sequence[str]] = lambda things, look: ()
    notes: Callable[[Look, Asked], Sequence[str]] | None = None
    nothing: Callable[[Look, Asked], str] | None = None


@dataclass(frozen=True)
class _Spread:
    """A service over its fleets."""

    service: Service
    distribution: Distribution


@dataclass(frozen=True)
class _Routed:
    """A service with its router."""

    service: Service
    view: RouterView


def _distributions(look: Look, asked: Asked) -> list[_Spread]:
    services = select.services(look.snapshot, asked.name, ended=asked.ended)
    return [_Spread(each, distribution_of(look.snapshot, each)) for each in services]


def _notes(things: Sequence[_Spread], look: Look) -> list[str]:
    """What can't be known, once for all services that it is true of."""
    about: dict[str, list[str]] = {}
    for thing in things:
        for note in thing.distribution.notes:
            about.setdefault(note, []).append(thing.service.name)
    if len(things) == 1:
        return list(about)
    return [f"{', '.join(names)}: {note}" for note, names in about.items()]


def _routers(look: Look, asked: Asked) -> list[_Routed]:
    services = select.services(look.snapshot, asked.name, ended=asked.ended)
    routers = look.snapshot.routers
    found = [_Routed(each, routers[each.id]) for each in services if each.id in routers]
    if asked.name is not None and not found:
        raise select.NoSuchNameError(
            f"The service {services[0].name} has no router that runs.",
            "A replica group with `router` makes one.",
        )
    return found


def _problems(look: Look, asked: Asked) -> list[Problem]:
    return [each for each in _problems_of(look, asked.name) if each.severity >= asked.severity]


def _problems_of(look: Look, name: str | None) -> Sequence[Problem]:
    """The problems of a service or fleet, or all of them, however bad."""
    if name is None:
        return look.problems
    ids = select.either(look.snapshot, name)
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
    service_id, fleet_id = select.either(look.snapshot, asked.name)
    wanted = {
        service.id
        for service in look.snapshot.services.values()
        if service.id == service_id
        or (fleet_id is not None and any(share.fleet_id == fleet_id for share in service.shares))
    }
    return [*look.notes, *unread(look.snapshot, wanted), *look.snapshot.unreadable]


def _no_problem(look: Look, asked: Asked) -> str:
    if _problems_of(look, asked.name):
        return "Nothing is that bad."
    if _unread(look, asked):
        return "Nothing is wrong, as far as it could be read."
    return "Nothing is wrong."


def _events(look: Look, asked: Asked) -> Sequence[Event]:
    return look.events


SHOWN: dict[Kind, Shown] = {
    "fleets": Shown(
        lambda look, asked: select.fleets(look.snapshot, asked.name),
        views.FLEETS,
        lambda fleet, look: [views.fleet(fleet, look.snapshot)],
        lambda fleet, look: payload.fleet(fleet, look.snapshot),
    ),
    "instances": Shown(
        lambda look, asked: select.instances(look.snapshot, asked.name),
        views.INSTANCES,
        lambda instance, look: [views.instance(instance, look.snapshot)],
        lambda instance, look: payload.instance(instance, look.snapshot),
    ),
    "services": Shown(
        lambda look, asked: select.services(look.snapshot, asked.name, ended=asked.ended),
        views.SERVICES,
        lambda service, look: [views.service(service, look.snapshot, look.healths.get(service.id))],
        lambda service, look: payload.service(service, look.healths.get(service.id)),
    ),
    "runs": Shown(
        lambda look, asked: select.runs(look.snapshot, asked.name, ended=asked.ended),
        views.RUNS,
        lambda run, look: [views.run(run, look.snapshot)],
        lambda run, look: payload.run(run, look.snapshot),
    ),
    "replicas": Shown(
        lambda look, asked: select.replicas(
            look.snapshot, select.services(look.snapshot, asked.name, ended=asked.ended)
        ),
        views.REPLICAS,
        lambda replica, look: [views.replica(replica, look.snapshot)],
        lambda replica, look: payload.replica(replica, look.snapshot),
    ),
    "distribution": Shown(
        _distributions,
        cockpit_views.DISTRIBUTION,
        lambda one, look: cockpit_views.distribution(one.distribution, one.service, look.snapshot),
        lambda one, look: payload.distribution(one.distribution, one.service),
        below=_notes,
    ),
    "router": Shown(
        _routers,
        cockpit_views.ROUTER,
        lambda one, look: cockpit_views.router(one.view, one.service, look.snapshot),
        lambda one, look: payload.router(one.view, one.service),
        above=lambda things, look: [
            cockpit_views.router_line(one.view, one.service, look.snapshot) for one in things
        ],
    ),
    "problems": Shown(
        _problems,
        cockpit_views.PROBLEMS,
        lambda problem, look: [cockpit_views.problem(problem, look.snapshot)],
        lambda problem, look: payload.problem(problem, look.snapshot),
        notes=_unread,
        nothing=_no_problem,
    ),
    "events": Shown(
        _events,
        cockpit_views.EVENTS,
        lambda event, look: [cockpit_views.event(event)],
        lambda event, look: payload.event(event),
    ),
}
