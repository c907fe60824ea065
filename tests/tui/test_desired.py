"""How many replicas a service should have, in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dstack_fleets_tui.words import words
from tests.builders.snapshots import service


@pytest.mark.parametrize(
    ("least", "greatest", "active", "desired", "text"),
    [
        (2, 2, 2, 2, "2"),
        (2, 2, 1, 2, "2"),
        # A stock server keeps the autoscaler's number to itself.
        (1, 4, 3, 3, "3 of 1..4"),
    ],
)
def test_what_is_desired_is_told_with_its_limits(
    least: int, greatest: int, active: int, desired: int, text: str
) -> None:
    shown = service(replicas_min=least, replicas_max=greatest, active=active)
    assert words.desired(shown, desired) == text


@pytest.mark.parametrize(
    ("active", "ready", "latest", "text"),
    [
        (3, 2, 3, "2 +1 surge"),
        (3, 3, 1, "2 +1 surge"),
        # After an edit that changes no replica, all are of the earlier deployment for a moment.
        (3, 3, 0, "2, 1 to stop"),
        (4, 4, 4, "2, 2 to stop"),
        (4, 3, 4, "2, 2 to stop"),
    ],
)
def test_a_surge_is_one_more_while_another_moves_or_is_replaced(
    active: int, ready: int, latest: int, text: str
) -> None:
    counts = {"active": active, "running": active, "ready": ready, "at_deployment": latest}
    assert words.desired(service(replicas_min=2, replicas_max=2, **counts), 2) == text


@pytest.mark.parametrize(
    ("active", "ready", "latest", "text"),
    [(3, 2, 1, "0, 3 to stop"), (1, 0, 1, "0, 1 to stop"), (0, 0, 0, "0")],
)
def test_one_that_is_ending_has_no_surge(active: int, ready: int, latest: int, text: str) -> None:
    counts = {"active": active, "running": active, "ready": ready, "at_deployment": latest}
    ending = service(replicas_min=2, replicas_max=2, status="terminating", **counts)
    assert words.desired(ending, 0) == text
    assert words.rollout(ending) == "0"


def test_one_that_has_ended_needs_none() -> None:
    ended = replace(service(replicas_min=2, replicas_max=2, active=1), status="terminated")
    assert words.desired(ended, 0) == "0"
