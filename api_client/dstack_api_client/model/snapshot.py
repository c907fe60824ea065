"""The state of one project at one moment, joined once and never changed.

Every screen and every headless command reads a `Snapshot`; none joins again. It is built by
`dstack_api_client.join.join.build` from decoded answers, and two of them are compared by
`dstack_api_client.join.difference.diff`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone

from dstack_api_client.model.capabilities import UNKNOWN, Capabilities
from dstack_api_client.model.cordon import Cordon
from dstack_api_client.model.fleet import Fleet, Instance
from dstack_api_client.model.guest import Guest
from dstack_api_client.model.placement import Drain, Placement
from dstack_api_client.model.replica import Replica, ReplicaKey
from dstack_api_client.model.router import RouterView
from dstack_api_client.model.service import OtherRun, Service
from dstack_api_client.model.traffic import Traffic

_NO_TIME = datetime.min.replace(tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Which server answered."""

    url: str
    version: str | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One project of one server as it was at `observed_at`."""

    server: ServerInfo
    project: str
    observed_at: datetime
    fleets: Mapping[str, Fleet]
    """By id, in the order of names."""
    instances: Mapping[str, Instance]
    services: Mapping[str, Service]
    other_runs: Mapping[str, OtherRun]
    replicas: Mapping[ReplicaKey, Replica]
    """The jobs of services and of other runs."""
    complete: bool = True
    """False while the first full read is under way."""
    capabilities: Capabilities = UNKNOWN
    """What the server can do."""
    placements: Mapping[str, Placement] = field(default_factory=dict)
    """By run id, where the server has the placement add-on: of the service that is looked at in
    full, of the others what the add-on tells in short."""
    placement_failure: str = ""
    """Why the placement add-on could not be asked or read when it was asked last, a sentence;
    `placements` and what it can do are then what was known before. Empty where it could."""
    routers: Mapping[str, RouterView] = field(default_factory=dict)
    """By run id, of services with a router, once it was looked at."""
    cordons: Mapping[str, Cordon] = field(default_factory=dict)
    """By the id of the instance or the fleet, where the server has the placement add-on."""
    traffic: Mapping[str, Traffic] = field(default_factory=dict)
    """By run id, of services whose gateway told the server's placement add-on of it lately."""
    unreadable: tuple[str, ...] = ()
    """A sentence for each record of the server's lists that could not be read."""
    clock_ahead: int = 0
    """Seconds that the server's clock, by which all times here are, is ahead of this machine's."""
    backends: tuple[str, ...] = ()
    """Those that the project has, by name; none where the server does not say."""
    guests: Mapping[str, tuple[Guest, ...]] = field(default_factory=dict)
    """Jobs of other projects by the id of their instance, as far as events told of them."""

    def timeless(self) -> Snapshot:
        """The same as if it had been read at no time, to compare with another.

        What is the same object in both is compared at once.
        """
        return replace(self, observed_at=_NO_TIME)

    def replicas_of(self, run: Service | OtherRun) -> list[Replica]:
        """The replicas of a service, or the jobs of another run, by number."""
        found = map(self.replicas.get, run.replica_keys)
        return [replica for replica in found if replica is not None]

    def active_in(self, run: Service | OtherRun) -> list[Replica]:
        """Those of them that have not ended."""
        return [replica for replica in self.replicas_of(run) if replica.active]

    def guests_on(self, instance: Instance) -> tuple[Guest, ...]:
        """The jobs of other projects on an instance, as far as events told of them."""
        return self.guests.get(instance.id, ()) if instance.status == "busy" else ()

    def cordon_of(self, thing: Fleet | Instance) -> Cordon | None:
        """The cordon on a fleet or an instance; of an instance its own, else its fleet's.

        Of the fleet's, only what is left on the instance itself.
        """
        found = self.cordons.get(thing.id)
        if found is not None or not isinstance(thing, Instance) or thing.fleet_id is None:
            return found
        whole = self.cordons.get(thing.fleet_id)
        if whole is None or not whole.left:
            return whole
        return replace(whole, left=tuple(e for e in whole.left if e.instance == thing.name))

    def cordons_in(self, fleet: Fleet) -> tuple[Cordon, ...]:
        """The cordons on a fleet and on its instances."""
        if not self.cordons:
            return ()
        found = map(self.cordons.get, (fleet.id, *fleet.instance_ids))
        return tuple(cordon for cordon in found if cordon is not None)

    def fleet_named(self, name: str) -> Fleet | None:
        """The fleet of that name; one of this project may be named with the project too."""
        name = name.removeprefix(f"{self.project}/")
        return next((fleet for fleet in self.fleets.values() if fleet.name == name), None)

    def service_named(self, name: str) -> Service | None:
        """The service of that name; the active one where a finished one shares its name."""
        named = [service for service in self.services.values() if service.name == name]
        return min(named, key=lambda s: (s.finished, -s.submitted_at.timestamp()), default=None)

    def placed_in(self, fleet: str | None) -> str | None:
        """The name of a fleet that the add-on tells; the id of one that is no longer a lane."""
        known = self.fleets.get(fleet) if fleet is not None else None
        return known.name if known is not None else fleet

    def why_no_place(self, replica: Replica) -> str:
        """Why a replica has found no place, by the add-on or dstack's last search."""
        placement = self.placements.get(replica.key.run_id)
        # Of one that was given a fleet, it is why that fleet, and not why it is not there.
        placed = placement.replicas if placement is not None else ()
        found = (e.why for e in placed if e.fleet is None and e.job_id == replica.submission_id)
        return next(found, None) or replica.message_of_search

    def drain_of(self, replica: Replica) -> Drain | None:
        """The drain of a replica that is to stop; None for one that does not drain."""
        placement = self.placements.get(replica.key.run_id)
        if placement is None or not replica.stopping:
            return None
        found = (each for each in placement.draining if each.job_id == replica.submission_id)
        return next(found, None)

    def lanes_given(self, run_id: str) -> dict[str, str]:
        """By submission, the fleets that the add-on gave to replicas of a service, if it told."""
        placement = self.placements.get(run_id)
        if placement is None:
            return {}
        return {
            each.job_id: name
            for each in placement.replicas
            if (name := self.placed_in(each.fleet)) is not None
        }
