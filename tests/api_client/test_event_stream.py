from __future__ import annotations

import random
from datetime import timedelta

import pytest

from dstack_api_client import errors
from dstack_api_client.events.stream import FOLLOWED, MOST_EVENTS, EventStream
from tests.builders.generation import seeds
from tests.builders.memory_client import START, GivenClient, event


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self):
        return START + timedelta(seconds=self.seconds)


def stream(client, filters=None, **values):
    clock = Clock()
    return EventStream(client, "main", filters, now=clock, **values), clock


async def polled(followed, **values):
    return [state async for state in followed.poll(**values)][-1]


def told(state):
    return [each.message for each in state.events]


async def test_the_newest_come_first_and_only_new_ones_are_read_again():
    client = GivenClient()
    client.recorded = [event(number) for number in range(5)]
    followed, clock = stream(client, {"within_runs": ["r"]})
    clock.seconds = 60
    assert told(await polled(followed)) == [f"event {number}" for number in (4, 3, 2, 1, 0)]
    client.recorded.append(event(61))
    clock.seconds = 62
    state = await polled(followed)
    assert told(state)[:2] == ["event 61", "event 4"]
    assert not state.more
    assert client.asked == {"newest_events": 1, "events": 1}
    assert all(filters == {"within_runs": ["r"]} for filters in client.filters)


async def test_all_events_of_the_project_are_asked_for_by_its_id():
    client = GivenClient()
    followed, _ = stream(client)
    await polled(followed)
    await polled(followed)
    assert client.filters == [{"within_projects": ["id-of-main"]}] * 2
    assert client.asked["project"] == 1


async def test_a_late_event_is_put_in_its_place():
    client = GivenClient()
    client.recorded = [event(0), event(10)]
    followed, clock = stream(client, {})
    clock.seconds = 11
    await polled(followed)
    client.recorded.append(event(5, "late"))
    assert told(await polled(followed)) == ["event 10", "late", "event 0"]


async def test_events_of_one_moment_stand_as_the_server_has_them():
    client = GivenClient()
    client.recorded = [event(number, seconds=1) for number in (2, 0, 1)]
    followed, _ = stream(client, {})
    assert told(await polled(followed)) == ["event 0", "event 1", "event 2"]


async def test_older_ones_come_a_page_at_a_time_until_there_are_none():
    client = GivenClient()
    client.recorded = [event(number, seconds=number // 7) for number in range(250)]
    followed, clock = stream(client, {})
    clock.seconds = 1000
    state = await polled(followed)
    assert len(state.events) == 100
    assert state.more
    for expected in (200, 250):
        assert followed.want_older()
        state = await polled(followed)
        assert len(state.events) == expected
    assert not state.more
    assert not followed.want_older()
    assert [each.id for each in state.events] == [each.id for each in client._in_order()]


async def test_older_ones_are_asked_for_again_after_a_failure():
    client = GivenClient()
    client.recorded = [event(number) for number in range(150)]
    followed, clock = stream(client, {})
    clock.seconds = 1000
    await polled(followed)
    followed.want_older()
    client.failure = errors.CannotConnectError("It is away.", "Wait.")
    await polled(followed)
    client.failure = None
    assert len((await polled(followed)).events) == 150


async def test_only_so_many_are_kept_and_reading_back_ends_there():
    client = GivenClient()
    client.recorded = [event(number) for number in range(MOST_EVENTS + 300)]
    followed, clock = stream(client, {})
    clock.seconds = MOST_EVENTS + 1000
    state = await polled(followed)
    while followed.want_older():
        state = await polled(followed)
    assert len(state.events) == MOST_EVENTS
    client.recorded.append(event(MOST_EVENTS + 2000))
    state = await polled(followed)
    assert len(state.events) == MOST_EVENTS
    assert told(state)[0] == f"event {MOST_EVENTS + 2000}"


async def test_what_nobody_looks_at_is_forgotten_and_read_again_when_wanted():
    client = GivenClient()
    followed, clock = stream(client, {})
    await polled(followed)
    for poll in range(2 * FOLLOWED // 100):
        client.recorded += [event(100 * poll + number) for number in range(100)]
        clock.seconds = 100 * (poll + 1)
        state = await polled(followed)
        followed.forget_older()
        assert len(state.events) <= FOLLOWED + 100
    state = await polled(followed)
    assert [each.id for each in state.events] == [each.id for each in client._in_order()[:FOLLOWED]]
    assert followed.want_older()
    state = await polled(followed)
    assert [each.id for each in state.events] == [
        each.id for each in client._in_order()[: FOLLOWED + 100]
    ]


async def test_a_failure_has_an_age_and_what_is_known_stays():
    client = GivenClient()
    client.recorded = [event(0)]
    followed, clock = stream(client, {})
    await polled(followed)
    client.failure = errors.CannotConnectError("It is away.", "Wait.")
    clock.seconds = 5
    await polled(followed)
    clock.seconds = 9
    state = await polled(followed)
    assert told(state) == ["event 0"]
    assert str(state.failure) == "It is away. Wait."
    assert state.failure.since == START + timedelta(seconds=5)
    assert state.read_at == START
    client.failure = None
    state = await polled(followed)
    assert (state.failure, state.read_at) == (None, clock())


async def test_what_is_known_already_is_there_before_the_first_answer():
    client = GivenClient()
    client.recorded = [event(number) for number in range(3)]
    followed, _ = stream(client, {}, seed=client.recorded[1:])
    assert told(followed.state) == ["event 2", "event 1"]
    assert told(await polled(followed)) == ["event 2", "event 1", "event 0"]


async def test_a_flood_is_not_followed_but_its_end_is_shown():
    client = GivenClient()
    client.recorded = [event(0)]
    followed, clock = stream(client, {})
    await polled(followed)
    client.recorded += [event(number) for number in range(100, 2000)]
    clock.seconds = 2000
    state = await polled(followed)
    assert told(state)[0] == "event 1999"
    assert len(state.events) < 1000
    numbers = [int(each.message.split()[1]) for each in state.events]
    assert numbers == list(range(1999, 1999 - len(numbers), -1))
    assert state.more


async def test_texts_are_cleaned():
    client = GivenClient()
    client.recorded = [event(0, "a\x1b[31mb", actor="ad\nmin", about=["run:x\x07y"])]
    followed, _ = stream(client, {})
    shown = (await polled(followed)).events[0]
    assert shown.message == "a\ufffd[31mb"
    assert shown.actor == "ad min"
    assert shown.targets[0].name == "x\ufffdy"


@pytest.mark.generated
async def test_at_random_everything_is_there_in_order():
    for seed in seeds(20):
        rng = random.Random(seed)
        client = GivenClient()
        followed, clock = stream(client, {})
        number = 0
        for _ in range(60):
            clock.seconds += rng.choice([0.5, 2, 30])
            for _ in range(rng.choice([0, 1, 3, 40])):
                late = rng.choice([0, 0, rng.uniform(0, 15)])
                client.recorded.append(event(number, seconds=clock.seconds - late))
                number += 1
            if rng.random() < 0.2:
                followed.want_older()
            client.failure = errors.BusyError("No.", "Wait.") if rng.random() < 0.2 else None
            state = await polled(followed)
        client.failure = None
        while state.failure is not None or followed.want_older():
            state = await polled(followed)
        assert [e.id for e in state.events] == [e.id for e in client._in_order()], (
            f"DSTACK_FLEETS_TESTS_SEED={seed}"
        )
