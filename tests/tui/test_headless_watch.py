"""`get problems --watch` prints what changes, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from dstack_api_client.errors import ApiError
from dstack_api_client.feed.feed import Feed
from dstack_api_client.problems.model import Kind, Problem, Severity
from dstack_fleets_tui.cli.main import main
from dstack_fleets_tui.headless import changed_rows, watching
from dstack_fleets_tui.headless.kinds import KINDS, problems
from dstack_fleets_tui.headless.looking import Asked, Look, Source, UnavailableError
from tests.builders import answers
from tests.builders.sample_look import LOOK
from tests.builders.snapshots import NOW, fleet, snapshot
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
        read, failures = problems.read, [2]

        async def failing(*args, **options):
            failures[0] -= 1
            if failures[0] >= 0:
                raise ApiError("It is away.", "Wait.")
            return await read(*args, **options)

        away = replace(problems.KIND, read=failing)
        monkeypatch.setattr(watching, "kind_named", lambda name: away)
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


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("fleets", "-o", "yaml"),
            "-o yaml does not work with --watch. Use one of: table, wide, json.",
        ),
        (("logs", "chat"), "--watch does not work with logs."),
        (("report", "chat"), "A report has no columns and no --watch."),
        (("problems", "-o", "wide"), "lines without columns"),
    ],
)
def test_what_is_not_watched(arguments, says, capsys):
    assert main(["get", *arguments, "--watch"]) == 2
    assert says in capsys.readouterr().err


async def _rows(kind, *snapshots, as_json=False, several=False, **options):
    async def looks():
        for each in snapshots:
            yield Look(each)

    asked = Asked(kind, **options)
    return [
        each async for each in changed_rows.lines(looks(), asked, as_json=as_json, several=several)
    ]


def _fleets(*fleets, seconds=0):
    later = NOW + timedelta(seconds=seconds)
    return replace(snapshot(fleets=fleets), observed_at=later)


async def test_rows_that_are_new_changed_and_gone():
    a, b = fleet("a"), fleet("b")
    first, second, third, fourth = await _rows(
        "fleets",
        _fleets(a, b),
        _fleets(a, b, seconds=90),  # only older
        _fleets(a, replace(b, status="terminating"), seconds=95),
        _fleets(a, seconds=99),
    )
    header, *rows = first.splitlines()
    assert header.split()[:4] == ["TIME", "CHANGE", "FLEET", "HEALTH"]
    assert [row.split()[1:3] for row in rows] == [["new", "a"], ["new", "b"]]
    assert second == ""
    assert [line.split()[1:3] for line in (third + fourth).splitlines()] == [
        ["changed", "b"],
        ["gone", "b"],
    ]
    # Columns stay where they are.
    assert third.index("b") == rows[1].index("b")


async def test_rows_have_the_columns_that_are_named():
    text, = await _rows("fleets", _fleets(fleet("a")), columns=("fleet", "nodes.max"))  # fmt: skip
    assert [line.split()[1:] for line in text.splitlines()] == [
        ["CHANGE", "FLEET", "NODES", "MAX"],
        ["new", "a", "4"],
    ]


async def test_changes_of_rows_as_objects():
    lines = await _rows("fleets", _fleets(fleet("a")), _fleets(), as_json=True)
    shown = [json.loads(line) for line in lines]
    assert [(each["change"], each["name"]) for each in shown] == [("new", "a"), ("gone", "a")]


async def test_each_of_several_projects_is_compared_with_itself():
    a, b = fleet("a"), fleet("b")
    main, prod = _fleets(a, b), replace(_fleets(a), project="prod")
    first, second, third = await _rows("fleets", main, prod, _fleets(b), several=True)
    assert [line.split()[1:4] for line in first.splitlines()] == [
        ["CHANGE", "PROJECT", "FLEET"],
        ["new", "main", "a"],
        ["new", "main", "b"],
    ]
    assert [line.split()[1:4] for line in (second + third).splitlines()] == [
        ["new", "prod", "a"],
        ["gone", "main", "a"],
    ]
    (line,) = (await _rows("fleets", prod, as_json=True, several=True))[0].splitlines()
    assert json.loads(line)["in_project"] == "prod"
    empty = replace(_fleets(), project="empty")
    # Which keys its objects have is known of the first that has any.
    (text,) = await _rows("fleets", empty, prod, columns=("nodes.max",), several=True)
    assert text.splitlines()[0].split()[1:] == ["CHANGE", "PROJECT", "NODES", "MAX"]


async def test_problems_of_several_projects_name_theirs():
    async def given():
        for project in ("main", "prod", "main"):
            yield Look(replace(snapshot(), project=project), (_DOWN,))

    lines = [each async for each in watching.lines(given(), _ASKED, as_json=False, several=True)]
    assert [line.split("  ")[-1] for line in lines] == [
        "main/chat: serves nothing\n",
        "prod/chat: serves nothing\n",
    ]


async def test_a_project_that_is_away_keeps_no_other_from_being_watched(capsys):
    server, away = FakeServer(), FakeServer()
    server.runs = [answers.run(1, name="chat")]
    away.fail = lambda path: httpx.Response(403)
    asked = Asked("services", "chat")
    async with server.client() as client, away.client() as other:
        looks = watching.together(
            [
                watching.looks(Source(other, Feed(other, "main")), asked, 0.01, "prod"),
                watching.looks(Source(client, Feed(client, "main")), asked, 0.01, "main"),
            ]
        )
        for _ in range(3):
            assert (await anext(looks)).snapshot.services
        away.fail = lambda path: None
        other_reads = away.asked["runs/list"]
        while away.asked["runs/list"] < other_reads + 3:
            await anext(looks)
        await looks.aclose()
    refused, missing = capsys.readouterr().err.splitlines()
    assert refused.startswith("dstack-fleets-tui: prod: ")
    assert missing.startswith("dstack-fleets-tui: prod: There is no service chat in project main.")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "logs"])
async def test_every_kind_is_watched_and_does_not_change_by_itself(kind):
    async def looks():
        for seconds in (0, 70):
            at = LOOK.snapshot.observed_at + timedelta(seconds=seconds)
            yield replace(LOOK, snapshot=replace(LOOK.snapshot, observed_at=at))

    given = looks()
    first, second = [each async for each in changed_rows.lines(given, Asked(kind), as_json=True)]
    assert first.count("\n") >= 1 or kind == "audit"
    assert second == ""
