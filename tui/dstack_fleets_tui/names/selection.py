"""Which things of a snapshot a command prints."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from dstack_api_client.errors import ApiError
from dstack_api_client.model.every_run import Run, every_run, run_type
from dstack_api_client.model.fleet import Fleet, Instance
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.text import one_line

_MOST_NAMES = 10


class NoSuchNameError(ApiError):
    """The project has no fleet or no service of the name that was given."""


def fleets(snapshot: Snapshot, name: str | None) -> list[Fleet]:
    """The fleets, by name.

    Raises:
        NoSuchNameError: There is none of that name.
    """
    if name is None:
        return sorted(snapshot.fleets.values(), key=lambda fleet: (fleet.name, fleet.id))
    fleet = snapshot.fleet_named(name)
    if fleet is None:
        raise missing_in(snapshot, "fleet", name, [f.name for f in snapshot.fleets.values()])
    return [fleet]


def instances(snapshot: Snapshot, name: str | None) -> list[Instance]:
    """The instances that are not terminated, by fleet and number.

    Raises:
        NoSuchNameError: There is no fleet of that name.
    """
    chosen = snapshot.instances.values() if name is None else _of_fleet(snapshot, name)
    return sorted(
        (instance for instance in chosen if instance.status != "terminated"),
        key=lambda instance: (instance.fleet_name or "", instance.num, instance.id),
    )


def services(snapshot: Snapshot, name: str | None, *, ended: bool = False) -> list[Service]:
    """The services, by name.

    Args:
        snapshot: Where they are.
        name: Just the one of this name, whether it has ended or not.
        ended: Whether those that have ended well are wanted too; failed ones always are.

    Raises:
        NoSuchNameError: There is none of that name.
    """
    if name is None:
        chosen = [
            service
            for service in snapshot.services.values()
            if ended or not service.finished or service.status == "failed"
        ]
        return sorted(chosen, key=lambda service: (service.name, -service.submitted_at.timestamp()))
    service = snapshot.service_named(name)
    if service is None:
        raise missing_in(snapshot, "service", name, [s.name for s in snapshot.services.values()])
    return [service]


def runs(snapshot: Snapshot, name: str | None, *, ended: bool = False) -> list[Run]:
    """Services, tasks and dev environments, by name; arguments as for `services`.

    Raises:
        NoSuchNameError: There is none of that name.
    """
    known = every_run(snapshot)
    if name is None:
        shown = [run for run in known if ended or not run.finished or run.status == "failed"]
        return sorted(shown, key=lambda run: (run.name, -run.submitted_at.timestamp()))
    found = next((run for run in known if run.name == name), None)
    if found is None:
        raise missing_in(snapshot, "run", name, [run.name for run in known])
    return [found]


def either(snapshot: Snapshot, name: str) -> tuple[str | None, str | None]:
    """The ids of the service and of the fleet of a name, of which one may be missing.

    Raises:
        NoSuchNameError: There is neither.
    """
    service, fleet = snapshot.service_named(name), snapshot.fleet_named(name)
    if service is None and fleet is None:
        names = [each.name for each in snapshot.services.values()]
        names += [each.name for each in snapshot.fleets.values()]
        raise missing_in(snapshot, "service or fleet", name, names)
    return service.id if service is not None else None, fleet.id if fleet is not None else None


def _of_fleet(snapshot: Snapshot, name: str) -> list[Instance]:
    ids = {fleet.id for fleet in fleets(snapshot, name)}
    return [instance for instance in snapshot.instances.values() if instance.fleet_id in ids]


def missing_of(run: Run, kind: str, name: str, names: Iterable[str]) -> NoSuchNameError:
    """What is raised where a run has no group, replica or node of a name."""
    return _unknown(kind, name, f"{run_type(run)} {one_line(run.name)}", names)


def missing_in(snapshot: Snapshot, kind: str, name: str, names: Iterable[str]) -> NoSuchNameError:
    """What is raised where a project has nothing of a name."""
    return _unknown(kind, name, f"project {one_line(snapshot.project)}", names)


def _unknown(kind: str, name: str, where: str, names: Iterable[str]) -> NoSuchNameError:
    known = sorted(set(names))
    near = difflib.get_close_matches(name, known, 1)
    if near:
        hint = f"Did you mean {one_line(near[0])}?"
    elif not known:
        hint = f"It has no {kind} at all."
    else:
        more = f" and {len(known) - _MOST_NAMES} more" if len(known) > _MOST_NAMES else ""
        hint = f"It has: {', '.join(map(one_line, known[:_MOST_NAMES]))}{more}."
    shown = one_line(name).strip() or f"'{one_line(name)}'"
    return NoSuchNameError(f"There is no {kind} {shown} in {where}.", hint)
