"""When a replica that drains may stop, and what is said of it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dstack_placement.engine import DEFAULT_DRAIN, LONGEST_DRAIN, Drain

SINCE = datetime(2026, 1, 1, tzinfo=timezone.utc)
COUNTS = st.none() | st.integers(0, 3)


@given(st.integers(0, 1800), st.integers(0, 2000), st.booleans(), COUNTS)
def test_none_stops_before_its_drain_ended_or_its_limit_passed(
    limit: int, passed: int, in_rotation: bool, open_requests: int | None
) -> None:
    drain = Drain(SINCE, timedelta(seconds=limit))
    ends = drain.ends(
        SINCE + timedelta(seconds=passed), in_rotation=in_rotation, open_requests=open_requests
    )
    if passed >= limit:
        assert ends
    elif in_rotation or open_requests != 0:
        assert not ends
    else:
        assert ends == (passed >= 2), "what was on its way has arrived"


@pytest.mark.parametrize(
    ("in_rotation", "open_requests", "ended"),
    [
        (False, 0, "drained in 41 s"),
        (False, 1, "stopped with 1 request open after 41 s"),
        (True, 2, "stopped with 2 requests open after 41 s"),
        (True, 0, "stopped after 41 s: its router had it in its list until then"),
        (False, None, "stopped after 41 s: how many of its requests were open is not known"),
    ],
)
def test_what_became_of_it_is_one_line(
    in_rotation: bool, open_requests: int | None, ended: str
) -> None:
    drain = Drain(SINCE, DEFAULT_DRAIN)
    now = SINCE + timedelta(seconds=41.2)
    assert drain.ended(now, in_rotation=in_rotation, open_requests=open_requests) == ended


def test_limits() -> None:
    assert timedelta(seconds=30) == DEFAULT_DRAIN
    assert timedelta(minutes=30) == LONGEST_DRAIN
