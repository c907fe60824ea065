"""`get problems --watch` prints what changes, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace

import httpx
import pytest

from dstack_api_client.errors import ApiError
from dstack_api_client.feed.feed import Feed
from dstack_api_client.problems.model import Kind, Problem, Severity
from dstack_fleets_tui.cli.main import main
from dstack_fleets_tui.headless import watching
from dstack_fleets_tui.headless.looking import Asked, Look, Source, UnavailableError
from tests.builders import answers
from tests.builders.snapshots import snapshot
from tests.servers.fake_server import FakeServer

_ASKED = Asked("problems", severity=Severity.WARNING)
_DOWN = Problem("down", Kind.SERVICE, Severity.CRITICAL, "chat", "serves nothing")
_LESS = replace(_DOWN, severity=Severity.WARNING, text="serves less: 1 of 2")
_NOTE = Problem("note", Kind.FLEET, Severity.NOTICE, "gpu", "is idle")


async def _given(*looks):
    for found in looks:
        yield Look(snapshot(), found)


async def _printed(*looks, as_json=False):
    return [each async for each in watching.lines(_given(*looks), _ASKED, as_json=as_json)]


async def test_each_change_is_a_line():
    printed = await _printed((_LESS, _NOTE), (_LESS,), (_DOWN,), (), (_DOWN,))
    assert [line[10:] for line in printed] == [
        "new       warning   chat: serves less: 1 of 2\n",
        "changed   critical  chat: serves nothing\n",
        "gone      critical  chat: serves nothing\n",
        "new       critical  chat: serves nothing\n",
    ]


async def test_each_change_is_an_object():
    (line,) = await _printed((_DOWN,), as_json=True)
    shown = json.loads(line)
    assert (shown["change"], shown["severity"], shown["subject"]) == ("new", "critical", "chat")


async def test_a_read_that_fails_is_said_once_and_ends_nothing(capsys, monkeypatch):
    server = FakeServer()
    server.runs = [answers.run(1, name="chat")]
    async with server.client() as client:
        looks = watching.looks(Source(client, Feed(client, "main")), _ASKED, 0)
        first = await anext(looks)
        assert [each.name for each in first.snapshot.services.values()] == ["chat"]
        read, failures = watching.problems.read, [2]

        async def failing(*args, **options):
            failures[0] -= 1
            if failures[0] >= 0:
                raise ApiError("It is away.", "Wait.")
            return await read(*args, **options)

        monkeypatch.setattr(watching.problems, "read", failing)
        await anext(looks)
        await looks.aclose()
    assert failures == [-1]
    assert capsys.readouterr().err == "dstack-fleets-tui: It is away. Wait.\n"


async def test_a_server_that_is_away_at_first_ends_it():
    server = FakeServer()
    server.fail = lambda path: httpx.ConnectError("refused")
    async with server.client() as client:
        with pytest.raises(UnavailableError):
            await anext(watching.looks(Source(client, Feed(client, "main")), _ASKED, 0))


@pytest.mark.parametrize("arguments", [("fleets",), ("problems", "-o", "yaml")])
def test_only_problems_are_watched(arguments, capsys):
    assert main(["get", *arguments, "--watch"]) == 2
    assert "Only problems are watched" in capsys.readouterr().err
