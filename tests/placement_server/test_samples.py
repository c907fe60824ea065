"""What a replica of a group needs where no job tells: as dstack's own configurator has it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from dstack._internal.core.models.fleets import FleetSpec
from dstack._internal.core.models.runs import RunSpec
from dstack._internal.server.services import backends  # noqa: F401  # fleets can't be imported first
from dstack._internal.server.services.jobs.configurators.service import ServiceJobConfigurator

from dstack_placement.server.fleets import rooms
from dstack_placement.server.runs import samples

H100 = {"gpu": "H100:8"}


def spec(*groups: dict[str, Any], profile: dict[str, Any] | None = None, **more: Any) -> RunSpec:
    """A service; its groups share a command and a GPU unless they say otherwise."""
    return RunSpec.model_validate(
        {
            "run_name": "chat",
            "configuration": {
                "type": "service",
                "port": 8000,
                "groups": [
                    {"replicas": 1, "commands": ["serve"], "resources": H100, **each}
                    for each in groups
                ],
                **more,
            },
            "profile": {"name": "thrift", **(profile or {})},
        }
    )


SPECS = {
    "defaults": spec({"name": "a"}),
    "a profile": spec({"name": "a"}, profile={"spot_policy": "auto", "max_price": 3.5}),
    "the service": spec({"name": "a"}, spot_policy="spot", reservation="cr-1"),
    "groups": spec(
        {"name": "base", "spot_policy": "on-demand", "reservation": "cr-77"},
        {"name": "over", "spot_policy": "spot", "resources": {"gpu": "L4", "cpu": "arm:4.."}},
        max_price=7,
    ),
}


@pytest.mark.parametrize("name", SPECS)
def test_it_is_what_dstack_makes_of_the_spec(name: str) -> None:
    run_spec = SPECS[name]
    made = samples.of_groups(run_spec, {})
    assert made
    for group, job in made.items():
        theirs = ServiceJobConfigurator(run_spec, {}, group)._requirements(1)
        assert job.job_spec.requirements == asyncio.run(theirs)


def test_a_job_that_is_there_tells_for_its_group() -> None:
    job = samples.of_groups(SPECS["groups"], {})["over"]
    found = samples.of_groups(SPECS["groups"], {"over": job})
    assert found["over"] is job
    assert list(found) == ["base", "over"]


@pytest.mark.parametrize(
    ("fleet", "more", "why"),
    [
        ({"nodes": "0..3"}, 3, ""),
        ({"nodes": "0..3", "resources": {"gpu": "H100:1"}}, 0, "its resources or policies"),
        ({"nodes": "0..3", "spot_policy": "spot"}, 0, "its resources or policies"),
        ({"nodes": "0.."}, None, ""),
        ({"ssh_config": {"user": "ada", "hosts": ["a"]}}, 0, "it has no host"),
    ],
)
def test_the_room_of_a_service_that_stands_at_zero(
    monkeypatch: pytest.MonkeyPatch, fleet: dict[str, Any], more: int | None, why: str
) -> None:
    run_spec = SPECS["defaults"]
    configuration = {"type": "fleet", "name": "lab", **fleet}
    found = FleetSpec.model_validate({"configuration": configuration, "profile": {}})
    monkeypatch.setattr(rooms, "spec_of", lambda model: found)
    model: Any = SimpleNamespace(instances=[])
    room = rooms.room_of(model, run_spec, samples.of_groups(run_spec, {}), 0)
    assert room.more == more
    assert room.why.startswith(why) if more == 0 else not why
