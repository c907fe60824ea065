"""Notices of services that would not survive the loss of a fleet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from dstack_api_client.model.fleet import Fleet
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.watch import Kind, Problem, ProblemWatch, Severity, problems_of
from dstack_api_client.whatif import Survival, not_survived, survival
from tests.builders.two_fleets import project, service_on, spec, with_lanes


def _said(snapshot: Snapshot) -> Sequence[str]:
    return [each.text.removeprefix("would not survive the loss of ") for each in _found(snapshot)]


def _found(snapshot: Snapshot) -> Sequence[Problem]:
    return [*not_survived(snapshot)]


def test_a_service_survives_where_as_many_fit_elsewhere_as_its_minimums_promise() -> None:
    places = ["own", "own", "spot"]
    assert _said(project(with_lanes(places), most={"own": 2, "spot": 2})) == []
    assert _said(project(with_lanes(places), most={"own": 2, "spot": 1})) == [
        "own: 1 of the 2 replicas that its minimums promise is left"
    ]
    full = {"own": 2, "spot": 0}
    assert _said(project(with_lanes(["own", "own"]), most=full)) == ["own: it would end"]


def test_services_without_a_minimum_are_left_out() -> None:
    wish = spec(fleets=[{"name": "own", "priority": 1}, "spot"])
    loose = service_on("loose", ["own"], wish, has_lanes=True)
    plain = service_on("plain", ["own"], spec())
    assert _said(project(loose, plain, most={"spot": 0})) == []


def test_it_is_a_notice_that_only_the_option_brings() -> None:
    snapshot = project(with_lanes(["own", "own"]), most={"own": 2, "spot": 0})
    now = snapshot.observed_at
    assert problems_of(snapshot, now) == ()
    (found,) = problems_of(snapshot, now, others=not_survived(snapshot))
    assert (found.kind, found.severity) == (Kind.LOSS, Severity.NOTICE)
    assert (found.subject, found.service_id, found.view) == ("chat", "s-chat", "distribution")
    assert ProblemWatch().look(snapshot, now) == ()
    assert len(ProblemWatch(Survival()).look(snapshot, now)) == 1


def test_it_is_looked_for_now_and_then_and_not_before_all_was_read() -> None:
    endangered = project(with_lanes(["own", "own"]), most={"own": 2, "spot": 0})
    safe = project(with_lanes(["own", "own"]), most={"own": 2, "spot": 2})
    look = Survival()
    assert look(replace(endangered, complete=False)) == ()
    assert len(look(endangered)) == 1
    soon, later = (endangered.observed_at + timedelta(seconds=each) for each in (20, 40))
    assert len(look(replace(safe, observed_at=soon))) == 1
    assert look(replace(safe, observed_at=soon, services={})) == ()
    assert look(replace(safe, observed_at=later)) == ()


def test_a_look_that_takes_long_leaves_fleets_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[list[str]] = []

    def noted(snapshot: Snapshot, fleets: Sequence[Fleet]) -> Sequence[Problem]:
        looked.append([each.name for each in fleets])
        return ()

    monkeypatch.setattr(survival, "_BUDGET", -1.0)
    monkeypatch.setattr(survival, "not_survived", noted)
    look, snapshot = Survival(), project(with_lanes(["own"]))
    for _ in range(3):
        look(snapshot)
    assert looked == [["own"], ["spot"]]
