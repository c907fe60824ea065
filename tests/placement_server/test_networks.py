"""Which fleets a router is known to reach, and which it is known not to."""

from __future__ import annotations

import pytest

from dstack_placement.server.networks.networks import Place, Reach, Site, reach

EAST, WEST = "us-east-1", "us-west-2"


def cloud(*places: tuple[str | None, str | None], project: str = "p", **more: object) -> Site:
    return Site("cloud", project, places=frozenset(Place(*place) for place in places), **more)  # type: ignore[arg-type]


def hosts(fleet: str = "hosts", network: str | None = None, *addresses: str) -> Site:
    return Site(fleet, "p", ssh=True, network=network, addresses=frozenset(addresses))


AWS_EAST = cloud(("aws", EAST))
NAMED = {
    "the same region": (AWS_EAST, cloud(("aws", EAST.upper())), Reach.REACHABLE),
    "another region": (AWS_EAST, cloud(("aws", WEST)), Reach.UNREACHABLE),
    "another backend": (AWS_EAST, cloud(("gcp", "us-east1")), Reach.UNREACHABLE),
    "several regions, one of them the router's": (
        AWS_EAST,
        cloud(("aws", EAST), ("aws", WEST)),
        Reach.UNKNOWN,
    ),
    "several regions, none of them the router's": (
        AWS_EAST,
        cloud(("aws", WEST), ("aws", "eu-west-1"), ("azure", "westeurope")),
        Reach.UNREACHABLE,
    ),
    "any region": (AWS_EAST, cloud(("aws", None)), Reach.UNKNOWN),
    "any backend": (AWS_EAST, cloud((None, WEST)), Reach.UNKNOWN),
    "any region of another backend": (AWS_EAST, cloud(("oci", None)), Reach.UNREACHABLE),
    "another region of a global network": (
        cloud(("gcp", "us-east1")),
        cloud(("gcp", "europe-west4")),
        Reach.UNKNOWN,
    ),
    "another cluster": (
        cloud(("kubernetes", "a")),
        cloud(("kubernetes", "b")),
        Reach.UNREACHABLE,
    ),
    "workers that register by a public address": (
        AWS_EAST,
        cloud(("lambda", "us-east-1")),
        Reach.UNKNOWN,
    ),
    "a router without an internal address": (
        cloud(("lambda", "us-east-1")),
        AWS_EAST,
        Reach.UNREACHABLE,
    ),
    "the same region of another project": (
        AWS_EAST,
        cloud(("aws", EAST), project="other"),
        Reach.UNKNOWN,
    ),
    "another region of another project": (
        AWS_EAST,
        cloud(("aws", WEST), project="other"),
        Reach.UNREACHABLE,
    ),
    "no place that fits": (AWS_EAST, cloud(), Reach.UNKNOWN),
    "the same SSH fleet": (hosts(), hosts(), Reach.REACHABLE),
    "SSH fleets of one network": (
        hosts("a", "10.0.0.0/16", "10.0.1.1"),
        hosts("b", "10.0.0.0/16", "10.0.2.1"),
        Reach.REACHABLE,
    ),
    "SSH fleets of two networks": (
        hosts("a", "10.1.0.0/16", "10.1.0.1"),
        hosts("b", "10.2.0.0/16", "10.2.0.1"),
        Reach.UNREACHABLE,
    ),
    "SSH fleets of two networks, and a host written into the other": (
        hosts("a", "10.1.0.0/16", "10.2.0.7"),
        hosts("b", "10.2.0.0/16", "10.2.0.1"),
        Reach.UNKNOWN,
    ),
    "an SSH fleet that names no network, inside the other's": (
        hosts("a", None, "10.2.0.9"),
        hosts("b", "10.2.0.0/16", "10.2.0.1"),
        Reach.REACHABLE,
    ),
    "an SSH fleet that names no network, outside the other's": (
        hosts("a", None, "192.168.0.9"),
        hosts("b", "10.2.0.0/16", "10.2.0.1"),
        Reach.UNKNOWN,
    ),
    "a network that can't be read": (
        hosts("a", "nonsense"),
        hosts("b", "10.2.0.0/16"),
        Reach.UNKNOWN,
    ),
    "a cloud router and hosts elsewhere": (
        AWS_EAST,
        hosts("a", "192.168.0.0/24", "192.168.0.5"),
        Reach.UNREACHABLE,
    ),
    "a cloud router and hosts with public addresses": (
        AWS_EAST,
        hosts("a", None, "8.8.8.8"),
        Reach.UNKNOWN,
    ),
    "a cloud router and hosts that are not there yet": (AWS_EAST, hosts("a"), Reach.UNKNOWN),
    "hosts that are machines of the router's cloud network": (
        cloud(("aws", EAST), addresses=frozenset({"172.31.4.4"})),
        hosts("a", None, "172.31.90.1"),
        Reach.UNKNOWN,
    ),
    "a router on a host, workers in a cloud": (
        hosts("a", "10.0.0.0/16", "10.0.0.2"),
        AWS_EAST,
        Reach.UNREACHABLE,
    ),
    "a router on a host in the network of the workers' cloud": (
        hosts("a", "10.0.0.0/16", "10.0.0.2"),
        cloud(("aws", EAST), addresses=frozenset({"10.0.7.7"})),
        Reach.UNKNOWN,
    ),
    "a router on a host, workers with public addresses": (
        hosts("a", "10.0.0.0/16", "10.0.0.2"),
        cloud(("vastai", "any")),
        Reach.UNKNOWN,
    ),
}


@pytest.mark.parametrize("case", NAMED)
def test_what_is_known_of_two_fleets(case: str) -> None:
    router, workers, expected = NAMED[case]
    verdict, cause = reach(router, workers)
    assert verdict is expected
    assert bool(cause) == (verdict is Reach.UNREACHABLE)


def test_the_cause_names_both_sides() -> None:
    _, cause = reach(AWS_EAST, cloud(("aws", WEST)))
    assert cause == "aws us-west-2 shares no network with aws us-east-1"
    _, cause = reach(hosts("a", "10.1.0.0/16"), hosts("b", "10.2.0.0/16"))
    assert cause == "its network 10.2.0.0/16 is not the router's 10.1.0.0/16"
    _, cause = reach(AWS_EAST, hosts("a", "192.168.0.0/24"))
    assert cause == "its SSH hosts share no network with aws us-east-1"
    _, cause = reach(hosts("a", "192.168.0.0/24"), AWS_EAST)
    assert cause == "aws us-east-1 shares no network with the router's SSH host"
