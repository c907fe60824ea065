"""Scenario files: what is refused, and how it is said."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from dstack_simulator import ScenarioError
from dstack_simulator.handle.faults import Faults
from dstack_simulator.scenarios import scenario as scenarios


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("description: [", "line 1"),
        ("hosts: []", "description: field required"),
        ("- 1", "the file"),
        ("description: x\nhosts: [{name: a, cpus: 0, memory_gib: 1}]", "hosts.0.cpus"),
        ("description: x\nhosts: [{name: a, cpus: 1, memory_gib: 1, gpus: 8}]", "hosts.0.gpus"),
        (
            "description: x\nsteps: [{apply: {type: fleet}, fault: no_capacity}]",
            "exactly one of apply, until and fault",
        ),
        ("description: x\nsteps: [{}]", "exactly one of apply, until and fault"),
        (
            "description: x\nhosts: [&h {name: a-2, cpus: 1, memory_gib: 1}, {<<: *h}]",
            "two hosts have the name a-2",
        ),
        ("description: x\nexpect: {runs: {a: {state: running}}}", "expect.runs.a.state"),
    ],
)
def test_a_mistake_is_named_with_its_field(text: str, said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        scenarios.parse(text, "mine.yml")
    message = str(caught.value)
    assert message.startswith("Scenario mine.yml")
    assert said in message
    assert "\n" not in message


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ScenarioError, match="burst, demo, empty, lanes, large"):
        scenarios.load("demoo")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="No such file"):
        scenarios.load(str(tmp_path / "none.yml"))


def test_a_file_of_ones_own_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.yml"
    path.write_text("description: mine\nhosts: [{name: a, count: 3, cpus: 8, memory_gib: 16}]\n")
    scenario = scenarios.load(str(path))
    assert scenario.description == "mine"
    assert scenario.hosts[0].names() == ["a-1", "a-2", "a-3"]


def test_what_is_shipped_is_well_formed() -> None:
    assert set(scenarios.shipped()) == {"burst", "demo", "empty", "lanes", "large"}


def test_a_scenario_survives_the_way_to_the_world() -> None:
    for name in scenarios.shipped():
        scenario = scenarios.load(name)
        sent = scenario.model_dump(mode="json", by_alias=True)
        assert scenarios.Scenario.model_validate(sent) == scenario


@pytest.mark.parametrize("name", scenarios.shipped())
def test_the_faults_of_a_scenario_are_calls_that_there_are(name: str) -> None:
    for fault in scenarios.load(name).faults.values():
        for call in fault.calls:
            inspect.signature(getattr(Faults, call.fault)).bind(None, **call.arguments)


def test_an_unknown_fault_is_told_with_those_that_there_are() -> None:
    lanes = scenarios.load("lanes")
    assert lanes.fault_named("router-down").calls[0].fault == "router_frozen"
    with pytest.raises(ScenarioError, match="no fault 'nothing'") as caught:
        lanes.fault_named("nothing")
    assert set(lanes.faults) <= set(str(caught.value).split())
    with pytest.raises(ScenarioError, match="The scenario has none"):
        scenarios.load("empty").fault_named("router-down")
