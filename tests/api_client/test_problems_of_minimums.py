"""Minimums that are not held, of fleets and of lanes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dstack_api_client.problems.model import Severity
from dstack_api_client.problems.watch import problems_of
from tests.builders import projects


@pytest.mark.parametrize(
    ("backends", "severity", "text", "hint"),
    [
        (("kubernetes",), Severity.NOTICE,
         "0 of at least 1 node: kubernetes starts instances with jobs only",
         "A minimum has no effect there; write `nodes: 0..4`."),
        (("runpod",), Severity.NOTICE,
         "0 of at least 1 node: runpod starts instances with jobs only",
         "A minimum has no effect there; write `nodes: 0..4`."),
        (("aws",), Severity.WARNING, "0 of at least 1 node", "dstack tries again"),
        (("aws", "vastai"), Severity.WARNING, "0 of at least 1 node", "dstack tries again"),
        ((), Severity.WARNING, "0 of at least 1 node", "dstack tries again"),
    ],
)  # fmt: skip
def test_a_backend_that_starts_nothing_ahead(
    backends: tuple[str, ...], severity: Severity, text: str, hint: str
) -> None:
    fleet = projects.fleet("k", nodes_min=1, backends=backends, instance_ids=(), states={})
    (problem,) = problems_of(projects.project(fleets=[fleet]), projects.NOW)
    assert (problem.severity, problem.text) == (severity, text)
    assert problem.hint.startswith(hint)


@pytest.mark.parametrize(
    ("of_project", "severity", "text"),
    [
        (("kubernetes",), Severity.NOTICE, "kubernetes starts instances with jobs only"),
        (("runpod", "vastai"), Severity.NOTICE, "runpod, vastai start instances with jobs only"),
        (("aws", "kubernetes"), Severity.WARNING, ""),
    ],
)
def test_a_fleet_that_names_no_backend_has_those_of_its_project(
    of_project: tuple[str, ...], severity: Severity, text: str
) -> None:
    fleet = projects.fleet("k", nodes_min=1, backends=(), instance_ids=(), states={})
    shot = replace(projects.project(fleets=[fleet]), backends=of_project)
    (problem,) = problems_of(shot, projects.NOW)
    assert problem.severity is severity
    assert problem.text == "0 of at least 1 node" + (f": {text}" if text else "")


_ROOM = "It is restored as soon as the fleet has room."


@pytest.mark.parametrize(
    ("code", "room", "hint"),
    [
        ("reclaiming", 0, "It is restored once the replica that gives way has moved."),
        ("below_minimum", 0, _ROOM),
        ("below_minimum", None, _ROOM),
        (
            "below_minimum",
            2,
            "The fleet has room: it is restored once no replica of the service starts or stops.",
        ),
    ],
)
def test_what_restores_a_minimum(code: str, room: int | None, hint: str) -> None:
    cause = "being restored, replica 3 of batch gives way and moves to b"
    short = projects.lane("a", min_replicas=1, deficit=1, code=code, cause=cause, room=room)
    cooling = replace(short, cooldown_until=projects.NOW)
    for lane, said in ((short, hint), *([(cooling, _ROOM)] if room else [])):
        shot = projects.chat(projects.replica(0), placements=[projects.placement(lane)])
        found = [
            each for each in problems_of(shot, projects.NOW) if each.key.startswith("baseline:")
        ]
        assert [(each.text, each.hint) for each in found] == [
            (f"a: baseline 0 of 1: {cause}", said)
        ]
