"""Ages and limits are by the server's clock, however wrong this machine's is."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import httpx
import pytest

from dstack_api_client.clock import ClockSteps, ServerClock, difference, seconds_since
from dstack_api_client.problems.watch import problems_of
from dstack_api_client.transport import transport
from dstack_api_client.transport.client import Client
from tests.builders import answers
from tests.builders.followed_feed import following
from tests.servers.fake_server import FakeServer

START = answers.START


def test_it_is_what_the_last_answer_told() -> None:
    told: list[float | None] = [None]
    clock = ServerClock(lambda: START, lambda: told[0])
    assert (clock.now(), clock.ahead) == (START, 0)
    told[0] = -1500.4
    assert (clock.now(), clock.ahead) == (START - timedelta(seconds=1500), -1500)


def test_it_does_not_jump_with_every_answer() -> None:
    told = [0.0]
    clock = ServerClock(lambda: START, lambda: told[0])
    for offset, ahead in ((-0.9, 0), (1.9, 0), (2400.0, 2400), (2401.4, 2400), (0.3, 0)):
        told[0] = offset
        clock.now()
        assert clock.ahead == ahead


@pytest.mark.parametrize(
    ("ahead", "says"),
    [
        (0, ""),
        (5, ""),
        (-5, ""),
        (6, "This machine's clock is 6 s behind the server's."),
        (-1500, "This machine's clock is 25 min ahead of the server's."),
        (2400, "This machine's clock is 40 min behind the server's."),
        (-3 * 86400, "This machine's clock is 72 h ahead of the server's."),
    ],
)
def test_what_is_said_of_a_difference(ahead: int, says: str) -> None:
    assert difference(ahead).startswith(says)
    assert bool(difference(ahead)) == bool(says)


@pytest.mark.parametrize("ahead", [0, -1500, 2400])
async def test_problems_are_the_same_whatever_this_machine_thinks(ahead: int) -> None:
    """A replica that pulls for a minute is none, one that waits for half an hour is."""
    server = FakeServer()
    waits = {"job_provisioning_data": None, "job_runtime_data": None}
    pulls = answers.submission(1, status="pulling", submitted_at=answers.at(1740 + ahead))
    waiting = answers.submission(2, status="submitted", submitted_at=answers.at(ahead), **waits)
    jobs = answers.job(1, pulls), answers.job(2, waiting)
    server.runs = [answers.run(1, *jobs, submitted_at=answers.at(ahead))]
    async with following(server) as followed:
        followed.feed._client.transport.clock_offset = ahead
        await followed.poll(full=True, after=1800)
        shot = followed.snapshot
        assert shot.clock_ahead == ahead
        assert shot.observed_at == START + timedelta(seconds=server.now + ahead)
        (problem,) = problems_of(shot, shot.observed_at)
        assert problem.text.startswith("2: no place yet")


@pytest.mark.parametrize("by", [1500, -1500, 8])
@pytest.mark.parametrize("ahead", [0, 600])
async def test_it_is_known_with_the_first_answer_after_this_machines_clock_was_set(
    monkeypatch: pytest.MonkeyPatch, by: int, ahead: int
) -> None:
    elapsed, forward = [0.0], [0]

    def here() -> datetime:
        return START + timedelta(seconds=elapsed[0] + forward[0])

    def answer(request: httpx.Request) -> httpx.Response:
        date = format_datetime(START + timedelta(seconds=elapsed[0] + ahead), usegmt=True)
        return httpx.Response(200, json={"server_version": None}, headers={"date": date})

    monkeypatch.setattr(transport, "utc_now", here)
    async with Client("http://s", "t", transport=httpx.MockTransport(answer)) as client:
        client.transport._steps = ClockSteps(here, lambda: elapsed[0])
        clock = ServerClock(here, lambda: client.clock_offset)
        for forward[0] in (0, by, 0):
            for _ in range(6):
                elapsed[0] += 2.0
                await client.server.info()
                late = START + timedelta(seconds=elapsed[0] + ahead) - clock.now()
                assert abs(late) <= timedelta(seconds=2), (forward, client.clock_offset)


def test_a_clock_that_runs_was_not_set() -> None:
    wall, elapsed = [0.0], [0.0]
    steps = ClockSteps(lambda: START + timedelta(seconds=wall[0]), lambda: elapsed[0])
    told = []
    for gone, by in ((100, 0), (100, 0.4), (0, 60), (5, 0), (5, -3600)):
        elapsed[0] += gone
        wall[0] += gone + by
        told.append(round(steps.seconds(), 3))
    assert told == [0, 0, 60, 0, -3600]


@pytest.mark.parametrize(
    ("ahead", "seconds"), [(-90, 90.0), (0, 0.0), (2, 0.0), (30, 0.0), (31, math.inf)]
)
def test_a_moment_ahead_of_a_clock_by_minutes_says_that_it_was_set_back(
    ahead: int, seconds: float
) -> None:
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    assert seconds_since(now + timedelta(seconds=ahead), now) == seconds
