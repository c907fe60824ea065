"""What a name that is typed means: a service or another run, a fleet, an instance, a replica."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import TypeAlias

from dstack_api_client.model.every_run import Run, every_run
from dstack_api_client.model.fleet import Fleet, Instance
from dstack_api_client.model.replica import Replica
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.text import one_line
from dstack_fleets_tui.names import selection
from dstack_fleets_tui.names.selection import NoSuchNameError

Thing: TypeAlias = Run | Fleet | Instance | Replica

#: `5`, or `decode 5` as screens call a replica.
_NUMBER = re.compile(r"(?:.*\s)?([0-9]+)")


def fleet_named(snapshot: Snapshot, name: str) -> Fleet:
    """The fleet of a name.

    Raises:
        NoSuchNameError: There is none.
    """
    (found,) = selection.fleets(snapshot, name)
    return found


def service_named(snapshot: Snapshot, name: str) -> Service:
    """The service of a name; of several the one that runs.

    Raises:
        NoSuchNameError: There is none.
    """
    (found,) = selection.services(snapshot, name)
    return found


def run_named(snapshot: Snapshot, name: str) -> Run:
    """The service, or other run, of a name.

    Raises:
        NoSuchNameError: There is none.
    """
    return snapshot.service_named(name) or selection.runs(snapshot, name)[0]


def replica_named(snapshot: Snapshot, text: str, here: Run | None = None) -> Replica:
    """The replica that `chat/5` names, or the node of another run that `train/1` does.

    Args:
        snapshot: Where it is.
        text: What was typed.
        here: The run that a number alone is of.

    Raises:
        NoSuchNameError: There is none, or no number.
    """
    owner, slash, number = text.rpartition("/")
    run = run_named(snapshot, owner) if slash or (here is None and not text.isdigit()) else here
    if run is None:
        raise NoSuchNameError(f"{one_line(text)} is of no service.", f"Write SERVICE/{text}.")
    numbers = {_number(each): each for each in snapshot.replicas_of(run)}
    match = _NUMBER.fullmatch(number)
    if match is None or match[1] not in numbers:
        raise selection.missing_of(run, _kind(run), number, numbers)
    return numbers[match[1]]


def thing_named(snapshot: Snapshot, name: str) -> Thing:
    """Whatever has a name: `chat`, `gpu-spot`, `train`, `chat/5`, `gpu-spot-0`, `gpu-spot/0`.

    Raises:
        NoSuchNameError: Nothing has it, or a service and a fleet have.
    """
    service, fleet = snapshot.service_named(name), snapshot.fleet_named(name)
    if service is not None and fleet is not None:
        told = one_line(name)
        raise NoSuchNameError(
            f"{told} is a service and a fleet.", f"Use :services {told} or :fleets {told}."
        )
    instances = (each for each in snapshot.instances.values() if each.name == name)
    runs = (each for each in snapshot.other_runs.values() if each.name == name)
    found: Thing | None = service or fleet or next(runs, None) or next(instances, None)
    return found or _part_named(snapshot, name)


def _part_named(snapshot: Snapshot, name: str) -> Thing:
    owner, _, number = name.rpartition("/")
    fleet = snapshot.fleet_named(owner)
    if fleet is not None:
        members = filter(None, map(snapshot.instances.get, fleet.instance_ids))
        numbers = {str(each.num): each for each in members}
        if number in numbers:
            return numbers[number]
        raise selection.missing_in(snapshot, "instance", name, instance_names(snapshot))
    if any(run.name == owner for run in every_run(snapshot)):
        return replica_named(snapshot, name)
    names = (*service_names(snapshot), *fleet_names(snapshot), *run_names(snapshot))
    raise selection.missing_in(snapshot, "service, fleet or run", name, names)


def _kind(run: Run) -> str:
    return "replica" if isinstance(run, Service) else "node"


def _number(replica: Replica) -> str:
    key = replica.key
    return str(key.replica_num if replica.run_type == "service" else key.job_num)


def service_names(snapshot: Snapshot) -> Sequence[str]:
    """The names of services, those that have ended last."""
    services = sorted(snapshot.services.values(), key=lambda each: (each.finished, each.name))
    return [*dict.fromkeys(each.name for each in services)]


def fleet_names(snapshot: Snapshot) -> Sequence[str]:
    """The names of fleets."""
    return [*dict.fromkeys(each.name for each in snapshot.fleets.values())]


def run_names(snapshot: Snapshot) -> Sequence[str]:
    """The names of all runs, those that have ended last."""
    return [*dict.fromkeys(run.name for run in every_run(snapshot))]


def replica_names(snapshot: Snapshot) -> Sequence[str]:
    """Replicas that have not ended, as `replica_named` takes them."""
    return [
        f"{run.name}/{_number(replica)}"
        for run in every_run(snapshot)
        for replica in snapshot.active_in(run)
    ]


def instance_names(snapshot: Snapshot) -> Sequence[str]:
    """The names of instances."""
    return [each.name for each in snapshot.instances.values()]


def _any_names(snapshot: Snapshot) -> Sequence[str]:
    kinds = (service_names, fleet_names, run_names, replica_names, instance_names)
    return [*dict.fromkeys(chain.from_iterable(names(snapshot) for names in kinds))]


#: What the command of an action can name, by the action's id.
NAMES: Mapping[str, Callable[[Snapshot], Sequence[str]]] = {
    "fleets": fleet_names,
    "services": service_names,
    "events": _any_names,
    "charts": lambda snapshot: [*service_names(snapshot), *fleet_names(snapshot)],
    "logs": lambda snapshot: [*run_names(snapshot), *replica_names(snapshot)],
    "replica": replica_names,
    "history": service_names,
    "shell": replica_names,
    "stop": run_names,
    "copy_attach": replica_names,
    "open": _any_names,
}
