"""`get logs`: the lines of a service, once or followed."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from datetime import datetime, timedelta, timezone

import httpx
import pytest

from dstack_api_client.feed.feed import Feed
from dstack_api_client.replica.logs import LogLine
from dstack_api_client.replica.service_logs import ServiceOutput
from dstack_fleets_tui.cli.main import main
from dstack_fleets_tui.headless import following_logs
from dstack_fleets_tui.headless.get import collect, table
from dstack_fleets_tui.headless.kinds import kind_named
from dstack_fleets_tui.headless.looking import Asked, Source, UnavailableError
from dstack_fleets_tui.names.selection import NoSuchNameError
from tests.builders import answers
from tests.servers.fake_server import FakeServer
from tests.waiting import until


def server() -> FakeServer:
    """A service with a replica in each of two groups."""
    made = FakeServer()
    jobs = [
        answers.job(number, answers.submission(number), replica_group=group)
        for number, group in enumerate(("prefill", "decode"))
    ]
    made.runs = [answers.run(1, *jobs)]
    first, second = ids(made)
    made.now = 60
    made.writes(first, "loading", "ready")
    made.now = 61
    made.writes(second, "out of memory")
    return made


def ids(made: FakeServer) -> list[str]:
    return [job["job_submissions"][-1]["id"] for job in made.runs[0]["jobs"]]


async def look(made: FakeServer, **asked: object):
    wanted = Asked("logs", "llm", **asked)
    async with made.client() as client:
        return await kind_named("logs").read(Source(client, Feed(client, "main")), wanted), wanted


async def texts(made: FakeServer, **asked: object) -> list[str]:
    return [each.line.text for each in (await look(made, **asked))[0].lines]


async def test_all_lines_are_printed_or_those_of_a_group_or_a_replica():
    made = server()
    read, asked = await look(made)
    assert table(read, asked).splitlines() == [
        "TIME                      REPLICA    OUTPUT",
        "2026-03-01T12:01:00.000Z  prefill 0  loading",
        "2026-03-01T12:01:00.000Z  prefill 0  ready",
        "2026-03-01T12:01:01.000Z  decode 1   out of memory",
    ]
    assert collect(read, asked)["logs"][-1] == {
        "at": "2026-03-01T12:01:01.000Z",
        "replica": 1,
        "group": "decode",
        "text": "out of memory",
        "lines_missing_before": False,
    }
    assert await texts(made, group="decode") == ["out of memory"]
    assert await texts(made, replica=0) == ["loading", "ready"]
    with pytest.raises(NoSuchNameError, match="no group decod in service llm") as raised:
        await look(made, group="decod")
    assert "Did you mean decode?" in raised.value.hint
    with pytest.raises(NoSuchNameError, match="no replica 7 in service llm"):
        await look(made, replica=7)


async def test_where_there_is_none_it_says_so_and_what_cannot_be_read_is_an_error():
    made = server()
    made.logs.clear()
    read, asked = await look(made, back=timedelta(minutes=1))
    assert table(read, asked) == "No logs of llm in that time.\n"
    made.fail = lambda path: (
        httpx.Response(403, json={"detail": "no"}) if path.endswith("logs/poll") else None
    )
    with pytest.raises(UnavailableError):
        await look(made)


@pytest.mark.parametrize("ahead", [0, 1500, -1500])
async def test_how_far_back_is_by_the_clock_of_the_server(monkeypatch, ahead):
    made = server()
    here = answers.START + timedelta(seconds=90 + ahead)
    monkeypatch.setattr("dstack_api_client.transport.client.utc_now", lambda: here)
    async with made.client() as client:
        client.transport.clock_offset = -ahead
        asked = Asked("logs", "llm", back=timedelta(minutes=1))
        read = await kind_named("logs").read(Source(client, Feed(client, "main")), asked)
    assert [each.line.text for each in read.lines] == ["loading", "ready", "out of memory"]


@pytest.mark.parametrize("output", ["table", "json"])
async def test_lines_are_followed_and_each_is_printed_once(output, capsys):
    made = server()
    show = following_logs._as_json if output == "json" else following_logs._Table(plain=False)
    async with made.client() as client:
        source = Source(client, Feed(client, "main"))
        following = asyncio.create_task(
            following_logs.follow(source, Asked("logs", "llm"), show, 0.0)
        )
        await until(lambda: made.asked["logs/poll"] >= 6)
        made.now = 62
        made.writes(ids(made)[0], "later [red]\x1b[2J")
        seen = made.asked["logs/poll"]
        await until(lambda: made.asked["logs/poll"] >= seen + 6)
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
    lines = capsys.readouterr().out.splitlines()
    if output == "json":
        assert [json.loads(line)["text"] for line in lines] == [
            "loading", "ready", "out of memory", "later [red]",
        ]  # fmt: skip
    else:
        assert lines[0].split() == ["TIME", "REPLICA", "OUTPUT"]
        assert lines[1:3] == [
            "2026-03-01T12:01:00.000Z  prefill 0  loading",
            "2026-03-01T12:01:00.000Z  prefill 0  ready",
        ]
        assert lines[3:] == [
            "2026-03-01T12:01:01.000Z  decode 1   out of memory",
            "2026-03-01T12:01:02.000Z  prefill 0  later [red]",
        ]


def test_a_line_that_is_not_finished_is_printed_once():
    at = datetime(2026, 3, 1, tzinfo=timezone.utc)
    printing = following_logs._Unfinished()

    def line(text: str) -> LogLine:
        return LogLine(0, at, text, of="0")

    def printed(lines, unfinished=(), replaced=()) -> list[str]:
        output = ServiceOutput(unfinished=unfinished, replaced=replaced)
        return [each.text for each in printing.of(output, lines)]

    half, more, whole = line("load"), line("loading"), line("loading done")
    assert printed([line("ready"), half], [half]) == ["ready"]
    assert printed([more], [more], [half]) == []
    assert printed([whole], (), [more]) == ["loading done"]
    question, answered = line("Go on? "), line("Go on? y")
    assert printed([question], [question]) == []
    assert printed([], [question]) == ["Go on? "], "nothing was added to it"
    assert printed([], [question]) == []
    assert printed([answered, line("next")], (), [question]) == ["y", "next"]
    last = line("bye")
    assert printed([last], [last]) == []
    assert [each.text for each in printing.rest()] == ["bye"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["logs"], "takes the name of a service"),
        (["logs", "chat", "-f", "-o", "yaml"], "prints a table or JSON"),
        (["fleets", "-f"], "only work with `get logs`"),
        (["replicas", "chat", "--replica", "1"], "only work with `get logs`"),
        (["events", "--since", "5m"], "only work with `get logs`"),
    ],
)
def test_wrong_use_is_said(arguments, said, capsys):
    assert main(["get", *arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("since", ["5", "5 m", "m", "-5m", "yesterday"])
def test_a_time_that_is_none_is_refused(since):
    with pytest.raises(SystemExit) as raised:
        main(["get", "logs", "chat", f"--since={since}"])
    assert raised.value.code == 2
