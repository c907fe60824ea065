"""Capacity that is taken away in thought: fleets, instances, a region, a backend, all spot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dstack_api_client.model.fleet import INSTANCE_GONE, Fleet, Instance
from dstack_api_client.model.replica import Replica
from dstack_api_client.model.snapshot import Snapshot

_SPOT = "spot"


class NoSuchPlaceError(ValueError):
    """What is to be lost is not there.

    Attributes:
        text: What was given.
        known: What there is of its kind.
    """

    def __init__(self, text: str, known: Iterable[str]) -> None:
        super().__init__(text)
        self.text = text
        self.known = tuple(sorted(set(known)))


@dataclass(frozen=True)
class Loss:
    """What is lost.

    Attributes:
        names: As it was asked for: `gpu-spot`, `gpu-spot/1`, `region:us-east-1`, `spot`.
        instances: Ids of the instances that are lost.
        fleets: Ids of fleets that are lost as a whole.
        closed: Why a fleet creates no instances any more, by its id.
    """

    names: tuple[str, ...] = ()
    instances: frozenset[str] = frozenset()
    fleets: frozenset[str] = frozenset()
    closed: Mapping[str, str] | None = None

    def takes(self, replica: Replica) -> bool:
        """Whether a replica is lost too."""
        return replica.instance_id in self.instances or replica.fleet_id in self.fleets

    def why_closed(self, fleet: Fleet) -> str:
        """Why a fleet creates no instances any more; empty where it does."""
        return (self.closed or {}).get(fleet.id, "")

    def touches(self, fleet: Fleet) -> bool:
        """Whether a fleet can take less than before."""
        return bool(self.why_closed(fleet)) or not self.instances.isdisjoint(fleet.instance_ids)

    def left(self, snapshot: Snapshot) -> Snapshot:
        """The project without what is lost."""
        return replace(
            snapshot,
            fleets={key: each for key, each in snapshot.fleets.items() if key not in self.fleets},
            instances={
                key: each for key, each in snapshot.instances.items() if key not in self.instances
            },
            replicas={key: each for key, each in snapshot.replicas.items() if not self.takes(each)},
        )


def loss_of(snapshot: Snapshot, names: Iterable[str]) -> Loss:
    """What is lost by name.

    Args:
        snapshot: The project.
        names: Each a fleet, `FLEET/NUMBER` for one of its instances, `region:R`, `backend:B` or
            `spot`. A fleet of one of these names goes before.

    Raises:
        NoSuchPlaceError: There is nothing of a name.
    """
    whole = Loss()
    for name in names:
        one = _one(snapshot, name)
        whole = Loss(
            (*whole.names, name),
            whole.instances | one.instances,
            whole.fleets | one.fleets,
            {**(whole.closed or {}), **(one.closed or {})},
        )
    return whole


def places_of(snapshot: Snapshot) -> list[str]:
    """What may be lost besides single instances, by the names that `loss_of` takes."""
    standing = _standing(snapshot)
    fleets = sorted(each.name for each in snapshot.fleets.values())
    spot = [_SPOT] if any(each.spot for each in standing) and _SPOT not in fleets else []
    regions = {f"region:{each.region}" for each in standing if each.region}
    backends = {f"backend:{each.backend}" for each in standing if each.backend}
    return [*fleets, *spot, *sorted(regions), *sorted(backends)]


def _one(snapshot: Snapshot, name: str) -> Loss:
    fleet = snapshot.fleet_named(name)
    if fleet is not None:
        lost = _ids(snapshot, lambda each: each.fleet_id == fleet.id)
        return Loss((name,), lost, frozenset({fleet.id}), {fleet.id: "it is lost"})
    if name == _SPOT:
        closed = {
            each.id: "it creates spot instances only"
            for each in snapshot.fleets.values()
            if each.spot_policy == _SPOT
        }
        return Loss((name,), _ids(snapshot, lambda each: each.spot), closed=closed)
    kind, colon, value = name.partition(":")
    if colon and kind in ("region", "backend"):
        return _of_place(snapshot, kind, value)
    return _of_instance(snapshot, name)


def _of_instance(snapshot: Snapshot, name: str) -> Loss:
    owner, _, number = name.rpartition("/")
    fleet = snapshot.fleet_named(owner) if owner else None
    if fleet is None:
        raise NoSuchPlaceError(name, (each.name for each in snapshot.fleets.values()))
    here = {str(each.num): each.id for each in _standing(snapshot) if each.fleet_id == fleet.id}
    if number not in here:
        raise NoSuchPlaceError(name, (f"{fleet.name}/{each}" for each in here))
    return Loss((name,), frozenset({here[number]}))


def _of_place(snapshot: Snapshot, kind: str, value: str) -> Loss:
    """A region or a backend: fleets that are set to create instances nowhere else are closed."""

    def place(instance: Instance) -> str:
        return (instance.region if kind == "region" else instance.backend) or ""

    value = value.lower()
    lost = _ids(snapshot, lambda each: place(each).lower() == value)
    closed = {}
    known = {place(each) for each in _standing(snapshot)}
    for fleet in snapshot.fleets.values():
        allowed = _regions(fleet) if kind == "region" else fleet.backends
        known |= {*allowed}
        if allowed and all(each.lower() == value for each in allowed):
            closed[fleet.id] = f"it creates instances in {value} only"
    if not lost and not closed:
        raise NoSuchPlaceError(f"{kind}:{value}", (f"{kind}:{each}" for each in known if each))
    return Loss((f"{kind}:{value}",), lost, closed=closed)


def _regions(fleet: Fleet) -> tuple[str, ...]:
    settings: Any = fleet.spec.get("configuration")
    regions = settings.get("regions") if isinstance(settings, Mapping) else None
    return tuple(map(str, regions)) if isinstance(regions, list) else ()


def _ids(snapshot: Snapshot, lost: Callable[[Instance], bool]) -> frozenset[str]:
    return frozenset(each.id for each in _standing(snapshot) if lost(each))


def _standing(snapshot: Snapshot) -> list[Instance]:
    return [each for each in snapshot.instances.values() if each.status not in INSTANCE_GONE]
