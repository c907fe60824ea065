"""Cooldown: how long a lane is skipped, and what ends it."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import strategies as st

from dstack_placement.engine import Cooldown, after_failure
from tests.builders.placement_cases import cases
from tests.builders.placement_services import NOW

SECOND = timedelta(seconds=1)


def failures(number: int) -> list[Cooldown]:
    found: list[Cooldown] = []
    now = NOW
    for _ in range(number):
        found.append(after_failure(found[-1] if found else None, now=now, started=now))
        now = found[-1].until
    return found


def test_sixty_seconds_doubling_to_ten_minutes() -> None:
    pauses = [(c.until - c.since).total_seconds() for c in failures(7)]
    assert pauses == [60, 120, 240, 480, 600, 600, 600]


def test_the_lane_is_tried_again_on_the_second() -> None:
    cooldown = failures(1)[0]
    assert cooldown.cools(NOW)
    assert cooldown.cools(NOW + 59 * SECOND)
    assert not cooldown.cools(NOW + 60 * SECOND)


def test_starts_that_were_under_way_together_count_once() -> None:
    first = after_failure(None, now=NOW, started=NOW - 9 * SECOND, cause="no capacity")
    again = after_failure(first, now=NOW + SECOND, started=NOW - 8 * SECOND, cause="no quota")
    assert again == Cooldown(1, NOW, NOW + 60 * SECOND, "no quota")
    assert after_failure(again, now=NOW + SECOND, started=NOW, cause="").cause == "no quota"


def test_a_start_after_the_cooldown_counts() -> None:
    first = failures(1)[0]
    second = after_failure(first, now=first.until + SECOND, started=first.until)
    assert (second.failures, second.until - second.since) == (2, timedelta(seconds=120))


@cases(st.integers(1, 2000))
def test_never_longer_than_ten_minutes_and_never_shorter_than_before(number: int) -> None:
    previous = Cooldown(number, NOW, NOW + SECOND)
    pause = after_failure(previous, now=NOW + SECOND, started=NOW + SECOND).until - NOW - SECOND
    assert timedelta(seconds=120) <= pause <= timedelta(minutes=10)
