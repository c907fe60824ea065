"""What fits on an instance, by dstack's own rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dstack_api_client.analysis.requirements import Requirements, Span, requirements_of, span
from dstack_api_client.analysis.room_input import NO_OFFER, room
from dstack_api_client.analysis.spot_policies import PolicySource, SpotPolicy, policies_of
from dstack_api_client.model.fleet import Instance
from dstack_api_client.model.gpus import Gpus
from dstack_placement import engine
from tests.builders import projects, snapshots

H100 = Gpus("H100", 8, 81_920, "nvidia")


def needs(resources: Any = None, **service: Any) -> Requirements:
    spec = {"configuration": {"type": "service", "resources": resources, **service}}
    return requirements_of(spec)["0"]


def host(**changes: Any) -> Instance:
    """An idle host of 8 GPUs, 128 CPUs and 1 TiB, by default whole."""
    values: dict[str, Any] = {
        "status": "idle", "busy_blocks": 0, "cpus": 128, "memory_mib": 1_048_576, "gpus": H100,
        "disk_mib": 4_096_000,
    }  # fmt: skip
    return snapshots.instance("h-0", **{**values, **changes})


HALF = {"gpu": {"name": ["H100"], "count": {"min": 4, "max": 4}}, "cpu": {"min": 2, "max": None}}


@pytest.mark.parametrize(
    ("resources", "blocks", "busy", "places"),
    [
        (HALF, 8, 0, 2),
        (HALF, 8, 4, 1),
        (HALF, 8, 5, 0),
        (HALF, 1, 0, 0),  # a whole host has 8, and exactly 4 are asked for
        ({"gpu": "H100:4"}, 8, 4, 1),
        ({"gpu": "H100:4.."}, 1, 0, 1),
        ({"gpu": "H100:80GB:1", "memory": "200GB.."}, 8, 0, 0),  # 128 GB with each GPU
        ({"gpu": "H100:1..2", "memory": "200GB.."}, 8, 0, 4),
        ({"cpu": "32.."}, 8, 0, 4),  # two blocks of 16 each
        ({"gpu": {"count": {"min": 0, "max": None}}}, 8, 0, 8),
        ({"gpu": "A100:1"}, 8, 0, 0),
        ({"gpu": "nvidia:1"}, 8, 0, 8),
        ({"gpu": "amd:1"}, 8, 0, 0),
        ({"disk": "5TB.."}, 8, 0, 0),  # never divided
        ({"cpu": "arm:2.."}, 8, 0, 0),
        ({"gpu": {"name": ["H100"], "compute_capability": [9, 0]}}, 8, 0, None),
        ({"gpu": ["odd"]}, 8, 0, None),
        (None, 8, 3, 5),
    ],
)
def test_replicas_that_an_instance_takes(
    resources: Any, blocks: int, busy: int, places: int | None
) -> None:
    there = host(total_blocks=blocks, busy_blocks=busy, status="busy" if busy else "idle")
    assert needs(resources).idle_places(there) == places


def test_policies_rule_instances_out() -> None:
    there = host()
    assert needs(None).idle_places(there) == 1
    assert needs(None).idle_places(host(spot=True)) == 0, "dstack's default is on-demand"
    assert needs(None, spot_policy="auto").idle_places(host(spot=True)) == 1
    assert needs(None, max_price=50.0).idle_places(there) == 0
    assert needs(None, regions=["US-EAST-1"]).idle_places(there) == 1
    assert needs(None, backends=["gcp"]).idle_places(there) == 0
    for changes in ({"unreachable": True}, {"health": "failure"}, {"status": "provisioning"}):
        assert needs(None).idle_places(host(**changes)) == 0
    assert needs({"gpu": "nvidia:1.."}).idle_places(host(gpus=Gpus("H100", 8, 81_920))) is None


def test_ranges_as_they_are_written() -> None:
    assert span("512MB") == Span(0.5, 0.5)
    assert span("..2TB") == Span(None, 2048)
    assert span({"min": 8.0, "max": None}) == Span(8, None)
    assert Span(4, 4).apart(Span(8, 8))
    assert not Span(4).apart(Span(8, 8))


def test_the_room_of_a_fleet_is_by_group() -> None:
    shared = projects.fleet("shared", kind="ssh", nodes_max=1, spot_policy=None)
    here = [host(total_blocks=8, busy_blocks=4, status="busy")]
    half, whole = needs(HALF), needs({"gpu": "H100:8"})
    found = room(shared, here, {"0": half})
    assert (found.more, found.why) == (1, "a replica takes 4 of a host's 8 blocks")
    both = room(shared, here, {"half": half, "whole": whole})
    assert (both.more, both.more_of) == (1, {"half": 1, "whole": 0})
    assert both.parts == (engine.Part(4, {"half": 4}),)
    wrong = room(shared, [host()], {"0": needs({"gpu": "A100:1"})})
    assert (wrong.more, wrong.why) == (0, "its host fits no replica")
    unknown = room(shared, here, {"0": needs({"gpu": ["odd"]})})
    assert unknown.more is None
    bare = [host(status="pending", gpus=None, cpus=0, memory_mib=0)]
    new = room(shared, bare, {"0": half})
    assert (new.more, new.why) == (0, "its host is pending"), "nothing is known of it yet"


def test_whole_hosts_that_are_taken_are_no_blocks_too_few() -> None:
    """A fleet may have hosts in blocks beside others; this group takes all of any."""
    fleet = projects.fleet("mixed", kind="ssh", nodes_max=2, spot_policy=None)
    here = [
        host(num=0, status="busy", busy_blocks=1),
        host(num=1, status="busy", total_blocks=8, busy_blocks=8),
    ]
    assert room(fleet, here, {"0": needs({"gpu": "H100:8"})}).why == "both hosts are busy"
    assert room(fleet, here, {"0": needs(HALF)}).why == "a replica takes 4 of a host's 8 blocks"


def test_groups_have_room_on_unlike_hosts() -> None:
    """What starts on the one takes nothing of the other; what may be created is for both."""
    fleet = projects.fleet("mixed", nodes_max=6)
    cpus, gpus = needs({"gpu": {"count": {"min": 0, "max": 0}}}), needs({"gpu": "H100:8"})
    both = {"front": cpus, "work": gpus}
    bare = [host(num=number, gpus=None, price=1.0) for number in (2, 3)]
    here = [host(num=0, price=9.0), host(num=1, price=3.0), *bare]
    work, front = {"work": 1}, {"front": 1}
    found = room(fleet, here, both)
    assert found.parts == tuple(
        engine.Part(number, takes)
        for number, takes in ((1, front), (1, front), (1, work), (1, work), (2, front | work))
    )
    assert (found.more, found.more_of) == (6, {"front": 4, "work": 4})
    barred = room(fleet, here, both, {"work": False})
    assert (barred.more, barred.more_of) == (6, {"front": 4, "work": 2})
    odd = room(fleet, here, {**both, "odd": needs({"gpu": ["odd"]})})
    assert (odd.more, odd.more_of) == (None, {"front": 4, "work": 4})
    free = room(replace(fleet, nodes_max=None), here, both)
    assert (free.more, free.more_of) == (None, {})


@pytest.mark.parametrize("odd", [["odd"], "odd", {"resources": ["odd"]}])
def test_the_room_of_a_fleet_that_is_not_as_it_should_be(odd: Any) -> None:
    fleet = projects.fleet("cloud", nodes_max=2)
    need = {"0": needs({"gpu": "H100:8"})}
    strange = replace(fleet, spec={"configuration": odd, "profile": odd})
    assert room(strange, [host()], need) == room(fleet, [host()], need)


def test_a_fleet_without_room_says_what_its_hosts_are() -> None:
    need = {"0": needs({"gpu": "H100:8"})}
    lab = projects.fleet("lab", kind="ssh", nodes_max=2, spot_policy=None)
    lost, busy = host(unreachable=True), host(status="busy", busy_blocks=1)
    assert room(lab, [lost], need).why == "its host is unreachable"
    assert room(lab, [host(health="failure")], need).why == "its host is unhealthy"
    assert room(lab, [busy, lost], need).why == (
        "none of its 2 hosts is idle: 1 busy, 1 unreachable"
    )
    assert room(lab, [lost, lost], need).why == "both hosts are unreachable"
    assert room(lab, [], need).why == "it has no host"
    cloud = projects.fleet("cloud", nodes_max=2)
    assert room(cloud, [busy, lost], need).why == (
        "2 of at most 2 nodes exist, none is idle, 1 unreachable"
    )


def test_what_a_fleet_may_still_create() -> None:
    cloud = projects.fleet("cloud", nodes_max=4)
    need = needs({"gpu": "H100:8"})
    assert room(cloud, [host(status="busy", busy_blocks=1)], {"0": need}).more == 3
    asked = room(cloud, [host()], {"0": need}, {"0": False})
    assert (asked.more, asked.why) == (1, NO_OFFER), "the idle one is there all the same"
    barred = room(cloud, [], {"0": needs(None, spot_policy="spot")})
    assert (barred.more, barred.why) == (0, "it is on-demand only, and spot is asked for")
    reusing = room(cloud, [], {"0": needs(None, creation_policy="reuse")})
    assert reusing.more == 0
    eight = {"configuration": {"resources": {"gpu": {"count": {"min": 8, "max": 8}}}}}
    four = room(projects.fleet("cloud", spec=eight), [], {"0": needs({"gpu": "H100:4"})})
    assert four.more == 0
    free = room(projects.fleet("cloud", nodes_max=None), [], {"0": need})
    assert free.more is None


@pytest.mark.parametrize(
    ("group", "service", "profile", "value", "source"),
    [
        ("spot", None, "auto", SpotPolicy.SPOT, PolicySource.GROUP),
        (None, "spot", "auto", SpotPolicy.SPOT, PolicySource.SERVICE),
        (None, None, "auto", SpotPolicy.AUTO, PolicySource.PROFILE),
        (None, None, None, SpotPolicy.ON_DEMAND, PolicySource.DEFAULT),
    ],
)
def test_the_policy_in_force(
    group: str | None,
    service: str | None,
    profile: str | None,
    value: SpotPolicy,
    source: PolicySource,
) -> None:
    spec = {
        "configuration": {"spot_policy": service, "groups": [{"name": "a", "spot_policy": group}]},
        "profile": {"spot_policy": profile},
    }
    policy, _ = policies_of(spec)["a"]
    assert (policy.value, policy.source) == (value, source)
