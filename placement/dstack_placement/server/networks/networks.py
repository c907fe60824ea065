"""Whether a router can reach workers that register by their internal address.

What counts is what dstack itself knows: the backend and region of instances, which are connected
within a project and region where the backend runs clusters, and the networks of SSH fleets.
Whatever is not known to be one or the other is unknown: nothing is held against it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

#: Backends whose instances get an internal address, in a private network of their region.
_REGIONAL = frozenset({"aws", "azure", "kubernetes", "nebius", "oci", "vultr"})
#: Those too get one, but the network may go beyond the region.
_WIDE = frozenset({"crusoe", "gcp", "slurm"})
_NETWORKED = _REGIONAL | _WIDE


class Reach(str, Enum):
    """What is known."""

    REACHABLE = "reachable"
    UNKNOWN = "unknown"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an instance is or may come to be; None is any."""

    backend: str | None
    region: str | None

    def __str__(self) -> str:
        return " ".join(part for part in (self.backend, self.region) if part) or "any backend"


@dataclass(frozen=True, slots=True)
class Site:
    """The instances of a fleet, or one of them.

    Attributes:
        fleet: The fleet's id, or what else tells it from others.
        project: The project that owns it: another's cloud networks may be others.
        ssh: Whether its hosts are somebody's own, not a backend's.
        places: Where a backend's instances are or may come to be.
        network: The network that an SSH fleet names.
        addresses: Internal addresses that are known.
    """

    fleet: str
    project: str
    ssh: bool = False
    places: frozenset[Place] = frozenset()
    network: str | None = None
    addresses: frozenset[str] = frozenset()


def reach(router: Site, workers: Site) -> tuple[Reach, str]:
    """Whether a router can dial workers by their internal addresses, and why not.

    Args:
        router: Where the router is.
        workers: Where the workers are or may come to be.
    """
    if router.ssh and workers.ssh:
        return _between_hosts(router, workers)
    if router.ssh or workers.ssh:
        return _host_and_cloud(router, workers)
    verdicts = {
        _between_places(here, there, same_project=router.project == workers.project)
        for here in router.places
        for there in workers.places
    }
    if verdicts == {Reach.REACHABLE}:
        return Reach.REACHABLE, ""
    if verdicts == {Reach.UNREACHABLE}:
        return Reach.UNREACHABLE, f"{_all(workers)} shares no network with {_all(router)}"
    return Reach.UNKNOWN, ""


def _between_places(router: Place, workers: Place, *, same_project: bool) -> Reach:
    if workers.backend not in _NETWORKED or router.backend is None:
        # Without an internal address, dstack registers a worker by its public one.
        return Reach.UNKNOWN
    if router.backend != workers.backend:
        return Reach.UNREACHABLE
    if router.region is None or workers.region is None:
        return Reach.UNKNOWN
    if router.region.lower() == workers.region.lower():
        return Reach.REACHABLE if same_project else Reach.UNKNOWN
    return Reach.UNREACHABLE if workers.backend in _REGIONAL else Reach.UNKNOWN


def _between_hosts(router: Site, workers: Site) -> tuple[Reach, str]:
    if router.fleet == workers.fleet:
        return Reach.REACHABLE, ""
    if router.network is None or workers.network is None:
        # Hosts may be in further networks than the one that dstack took their address from.
        inside = _inside(router, workers) or _inside(workers, router)
        return (Reach.REACHABLE if inside else Reach.UNKNOWN), ""
    here, there = _network(router.network), _network(workers.network)
    if here is None or there is None:
        return Reach.UNKNOWN, ""
    if here.overlaps(there):
        return Reach.REACHABLE, ""
    if _inside(router, workers) or _inside(workers, router):
        return Reach.UNKNOWN, ""
    return Reach.UNREACHABLE, f"its network {there} is not the router's {here}"


def _host_and_cloud(router: Site, workers: Site) -> tuple[Reach, str]:
    cloud, hosts = (workers, router) if router.ssh else (router, workers)
    if workers is cloud:
        private = all(place.backend in _NETWORKED for place in cloud.places)
    else:
        known = bool(hosts.addresses) or hosts.network is not None
        private = known and not any(_is_public(address) for address in hosts.addresses)
    # Hosts may be machines of that very cloud.
    if not cloud.places or not private or _inside(cloud, hosts) or _neighbours(cloud, hosts):
        return Reach.UNKNOWN, ""
    if router.ssh:
        return Reach.UNREACHABLE, f"{_all(cloud)} shares no network with the router's SSH host"
    return Reach.UNREACHABLE, f"its SSH hosts share no network with {_all(cloud)}"


def _inside(some: Site, fleet: Site) -> bool:
    """Whether an address is in the network that a fleet names."""
    network = _network(fleet.network) if fleet.network is not None else None
    return network is not None and any(
        ip in network for address in some.addresses if (ip := _address(address)) is not None
    )


def _neighbours(some: Site, others: Site) -> bool:
    """Whether two addresses are in one private /16, the size of a usual cloud network."""
    return bool(_sixteens(some.addresses) & _sixteens(others.addresses))


def _sixteens(addresses: Collection[str]) -> set[ipaddress.IPv4Network]:
    found = (_address(address) for address in addresses)
    return {ipaddress.IPv4Network((int(ip), 16), strict=False) for ip in found if ip is not None}


def _is_public(address: str) -> bool:
    ip = _address(address)
    return ip is None or not ip.is_private


def _address(text: str) -> ipaddress.IPv4Address | None:
    try:
        return ipaddress.IPv4Address(text)
    except ValueError:
        return None


def _network(text: str) -> ipaddress.IPv4Network | None:
    try:
        return ipaddress.IPv4Network(text, strict=False)
    except ValueError:
        return None


def _all(site: Site) -> str:
    return " or ".join(sorted(str(place) for place in site.places))
