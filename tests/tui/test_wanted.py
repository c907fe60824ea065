"""How many replicas a service should have, in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dstack_api_client.model.placement import Placement
from dstack_fleets_tui import words
from tests.builders.snapshots import NOW, service

DESIRED = Placement("s-chat", True, NOW, {"0": 2}, {"0": ""}, (), (), ())


@pytest.mark.parametrize(
    ("least", "greatest", "active", "told", "text"),
    [
        (2, 2, 2, True, "2"),
        (2, 2, 3, True, "2 +1 surge"),
        (2, 2, 3, False, "2 +1 surge"),
        (2, 2, 1, True, "2"),
        (1, 4, 3, True, "2 of 1..4 +1 surge"),
        # A stock server keeps the autoscaler's number to itself.
        (1, 4, 3, False, "3 of 1..4"),
    ],
)
def test_a_surge_is_not_wanted(
    least: int, greatest: int, active: int, told: bool, text: str
) -> None:
    shown = service(replicas_min=least, replicas_max=greatest, active=active)
    assert words.wanted(shown, DESIRED if told else None) == text


def test_one_that_has_ended_wants_none() -> None:
    ended = replace(service(replicas_min=2, replicas_max=2, active=1), status="terminated")
    assert words.wanted(ended, DESIRED) == "0"
