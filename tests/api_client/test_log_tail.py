from __future__ import annotations

import base64
import random
from datetime import timedelta

import pytest

from dstack_api_client.replica.logs import KEPT_LINES, LogTail
from tests.builders.generation import seeds
from tests.builders.memory_client import START, GivenClient


def tail(client):
    return LogTail(client, "main", "chat", "j-1")


def texts(followed):
    return [line.text for line in followed.lines]


async def test_new_lines_are_added():
    client = GivenClient()
    client.write("one", "two")
    followed = tail(client)
    assert await followed.read()
    assert texts(followed) == ["one", "two"]
    assert not await followed.read()
    client.write("three", at=1)
    assert await followed.read()
    assert texts(followed) == ["one", "two", "three"]
    assert [line.number for line in followed.lines] == [0, 1, 2]
    assert followed.lines[-1].at == START + timedelta(seconds=1)
    assert not any(line.left_out for line in followed.lines)


async def test_lines_of_the_same_moment_that_come_later_are_not_lost():
    client = GivenClient()
    client.write("one", "two")
    followed = tail(client)
    await followed.read()
    client.write("three", "two")
    await followed.read()
    assert texts(followed) == ["one", "two", "three", "two"]


async def test_of_a_flood_the_newest_lines_are_shown_and_that_some_are_left_out():
    client = GivenClient()
    followed = tail(client)
    client.write("begin")
    await followed.read()
    for number in range(5000):
        client.write(f"line {number}", at=1 + number / 1000)
    await followed.read()
    assert texts(followed)[0] == "begin"
    assert texts(followed)[1:] == [f"line {number}" for number in range(4800, 5000)]
    assert [line.text for line in followed.lines if line.left_out] == ["line 4800"]


async def test_only_so_many_lines_are_kept():
    client = GivenClient()
    followed = tail(client)
    for second in range(KEPT_LINES // 100 + 5):
        client.write(*(f"{second} {number}" for number in range(100)), at=second)
        await followed.read()
    assert len(followed.lines) == KEPT_LINES
    assert texts(followed)[-1] == f"{KEPT_LINES // 100 + 4} 99"


async def test_a_line_that_came_in_pieces_is_one_line():
    client = GivenClient()
    followed = tail(client)
    client.log = [(START, b"load"), (START + timedelta(seconds=1), b"ing ")]
    await followed.read()
    assert texts(followed) == ["loading"]
    client.log.append((START + timedelta(seconds=2), b"done\nnext\n"))
    await followed.read()
    assert texts(followed) == ["loading done", "next"]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"\x1b[31mred\x1b[0m text\r\n", "red text"),
        (b"\x1b]0;title\x07hello\n", "hello"),
        (b" 10%\r 50%\r100% done\r\n", "100% done"),
        (b"a\tb\n", "a   b"),
        (b"[red]not markup[/]\n", "[red]not markup[/]"),
        (b"bell\x07 and \xe2\x80\xae turned\n", "bell\ufffd and \ufffd turned"),
        (b"not \xff UTF-8\n", "not \ufffd UTF-8"),
        (b"\x1b[2J\x1b[Hcleared\n", "cleared"),
        (b"\n", ""),
    ],
)
async def test_output_is_what_a_terminal_would_show_and_does_no_harm(written, shown):
    client = GivenClient()
    client.log = [(START, written)]
    followed = tail(client)
    await followed.read()
    assert texts(followed) == [shown]


async def test_a_line_without_end_is_cut():
    client = GivenClient()
    followed = tail(client)
    for second in range(20):
        client.log.append((START + timedelta(seconds=second), b"x" * 1000))
        await followed.read()
    assert len(followed.lines) == 1
    assert len(texts(followed)[0]) <= 2001


async def test_what_is_not_base64_is_shown_as_it_is(monkeypatch):
    client = GivenClient()
    client.log = [(START, b"plain\n")]
    monkeypatch.setattr(base64, "b64encode", lambda text: text)
    followed = tail(client)
    await followed.read()
    assert texts(followed) == ["plain"]


@pytest.mark.generated
async def test_at_random_nothing_is_lost_or_doubled():
    for seed in seeds(30):
        rng = random.Random(seed)
        client = GivenClient()
        followed = tail(client)
        moment = 0.0
        for number in range(60):
            moment += rng.choice([0, 0, 0.001, 1])
            client.write(*(f"{number}.{each}" for each in range(rng.randrange(4))), at=moment)
            if rng.random() < 0.5:
                await followed.read()
        await followed.read()
        expected = [text.decode().strip() for _, text in client.log]
        assert texts(followed) == expected, f"DSTACK_FLEETS_TESTS_SEED={seed}"
