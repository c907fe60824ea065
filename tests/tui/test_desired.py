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
        (2, 2, 3, 2, "2 +1 surge"),
        (2, 2, 1, 2, "2"),
        (1, 4, 3, 2, "2 of 1..4 +1 surge"),
        # A stock server keeps the autoscaler's number to itself.
        (1, 4, 3, 3, "3 of 1..4"),
    ],
)
def test_a_surge_is_not_desired(
    least: int, greatest: int, active: int, desired: int, text: str
) -> None:
    shown = service(replicas_min=least, replicas_max=greatest, active=active)
    assert words.desired(shown, desired) == text


def test_one_that_has_ended_needs_none() -> None:
    ended = replace(service(replicas_min=2, replicas_max=2, active=1), status="terminated")
    assert words.desired(ended, 0) == "0"
