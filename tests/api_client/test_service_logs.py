"""The output of all replicas of a service, in the order of time."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from dstack_api_client import errors
from dstack_api_client.replica.service_logs import ServiceLogs, Writer, writers
from tests.builders.generation import seeds
from tests.builders.memory_client import START, GivenClient
from tests.builders.snapshots import replica

NOW = START + timedelta(minutes=30)
TWO = (Writer("0", "chat", "j-0"), Writer("decode 1", "chat", "j-1"))


def given(*writing, client=None, **options):
    logs = ServiceLogs(client or GivenClient(), "main", now=lambda: NOW, **options)
    logs.follow(writing or TWO)
    return logs


async def read(logs, **options):
    return [state async for state in logs.poll(**options)][-1]


def told(state):
    return [f"{line.of}: {line.text}" for line in state.lines]


async def test_lines_of_all_replicas_stand_in_the_order_of_time():
    client = GivenClient()
    client.write("a", "b", at=1, by="j-0")
    client.write("c", at=2, by="j-1")
    client.write("d", at=3, by="j-0")
    state = await read(given(client=client))
    assert told(state) == ["0: a", "0: b", "decode 1: c", "0: d"]
    assert (state.unread, state.dropped, state.failure) == (0, 0, None)


async def test_lines_that_come_late_go_where_they_belong_and_it_says_from_when_on():
    client = GivenClient()
    client.write("first", at=1, by="j-0")
    client.write("third", at=3, by="j-0")
    client.logs_by["j-1"] = []
    logs = given(client=client)
    before = await read(logs)
    client.write("second", at=2, by="j-1")
    state = await read(logs)
    assert told(state) == ["0: first", "decode 1: second", "0: third"]
    assert state.changed_from == START + timedelta(seconds=2)
    assert (await read(logs)).lines is state.lines
    assert told(before) == ["0: first", "0: third"]


async def test_it_begins_so_far_back_over_several_answers():
    client = GivenClient()
    for second in range(25 * 60, 30 * 60):
        client.write(*(f"{second} {each}" for each in range(10)), at=second, by="j-0")
    client.logs_by["j-1"] = []
    state = await read(given(client=client, back=timedelta(minutes=4)))
    assert state.lines[0].text == "1561 0"
    assert (len(state.lines), state.lines[-1].text) == (239 * 10, "1799 9")
    assert not any(line.left_out for line in state.lines)
    everything = await read(given(client=client))
    assert len(everything.lines) == 3000


async def test_only_so_many_lines_are_kept_and_the_others_are_counted():
    client = GivenClient()
    logs = given(client=client, kept=50)
    for second in range(10):
        client.write(*(f"{second} {each}" for each in range(10)), at=second)
        state = await read(logs)
    assert len(state.lines) == 50
    assert state.dropped == 2 * 100 - 50
    assert state.lines[-1].text == "9 9"


async def test_that_lines_were_left_out_is_said_where_they_are_missing():
    client = GivenClient()
    client.write("begin", at=1, by="j-0")
    client.logs_by["j-1"] = []
    logs = given(client=client)
    await read(logs)
    for number in range(3000):
        client.write(f"{number}", at=2 + number / 1000, by="j-0")
    state = await read(logs)
    assert [line.text for line in state.lines if line.left_out] == ["2000"]
    assert [line.text for line in state.lines[:2]] == ["begin", "2000"]


async def test_a_line_that_goes_on_is_there_once():
    client = GivenClient()
    client.logs_by = {"j-0": [(START, b"load")], "j-1": []}
    logs = given(client=client)
    first = await read(logs)
    assert told(first) == ["0: load"]
    assert [line.text for line in first.unfinished] == ["load"]
    client.write("between", at=1, by="j-1")
    client.logs_by["j-0"].append((START + timedelta(seconds=2), b"ing\n"))
    then = await read(logs)
    assert told(then) == ["decode 1: between", "0: loading"]
    assert (then.replaced, then.unfinished) == (first.unfinished, [])


async def test_a_submission_that_was_replaced_is_read_once_more_and_stays():
    client = GivenClient()
    client.write("old", at=1, by="j-0")
    logs = given(TWO[0], client=client)
    await read(logs)
    client.write("out of memory", at=2, by="j-0")
    client.write("new", at=3, by="j-2")
    logs.follow([Writer("0", "chat", "j-2")])
    assert told(await read(logs)) == ["0: old", "0: out of memory", "0: new"]
    logs.follow([Writer("0", "chat", "j-2")])
    asked = client.asked["logs"]
    await read(logs)
    assert client.asked["logs"] == asked + 1


async def test_of_very_many_replicas_each_gets_its_turn():
    client = GivenClient()
    many = [Writer(str(number), "chat", f"j-{number}") for number in range(70)]
    for each in many:
        client.write(each.name, at=int(each.name), by=each.submission_id)
    logs = given(*many, client=client)
    assert (await read(logs)).unread == 70 - 32
    assert client.asked["logs"] == 32
    await read(logs)
    state = await read(logs)
    assert state.unread == 0
    assert [line.text for line in state.lines] == [each.name for each in many]


async def test_what_cannot_be_read_is_said_and_what_is_known_stays():
    client = GivenClient()
    client.write("a", by="j-0")
    logs = given(client=client)
    await read(logs)
    client.failure = errors.ForbiddenError("This user may not read logs.", "Ask for it.")
    state = await read(logs)
    assert (state.failed, str(state.failure)) == (2, "This user may not read logs. Ask for it.")
    assert state.lines
    client.failure = None
    assert (await read(logs)).failure is None


def test_replicas_that_have_not_started_have_written_nothing():
    first, second = replica(), replica("chat", 1, status="pulling")
    ended = replica("chat", 2, status="failed")
    assert [(each.name, each.ended) for each in writers([first, second, ended])] == [
        ("0", False),
        ("2", True),
    ]


@pytest.mark.generated
async def test_at_random_all_that_is_written_is_there_in_order():
    for seed in seeds(20):
        rng = random.Random(seed)
        client = GivenClient()
        names = [f"j-{each}" for each in range(4)]
        client.logs_by = {name: [] for name in names}
        logs = given(*(Writer(name, "chat", name) for name in names), client=client)
        for step in range(40):
            who = rng.choice(names)
            last = client.logs_by[who][-1][0] if client.logs_by[who] else START
            moment = (last - START).total_seconds() + rng.choice([0, 0.001, 1])
            client.write(f"{step}", at=moment, by=who)
            if rng.random() < 0.4:
                await read(logs)
        state = await read(logs)
        moments = [line.at for line in state.lines]
        assert moments == sorted(moments), f"DSTACK_FLEETS_TESTS_SEED={seed}"
        for name in names:
            written = [text.decode().strip() for _, text in client.logs_by[name]]
            shown = [line.text for line in state.lines if line.of == name]
            assert shown == written, f"DSTACK_FLEETS_TESTS_SEED={seed}"
