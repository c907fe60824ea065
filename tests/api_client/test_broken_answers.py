"""Answers that no server should give: each is an error with a sentence, and costs no more."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import msgspec
import pytest
from anyio import lowlevel

from dstack_api_client import errors
from dstack_api_client.attempts import Attempts
from dstack_api_client.connect.connection import ConfigError
from dstack_api_client.feed.feed import Feed
from dstack_api_client.feed.full_read import PageSize
from dstack_api_client.feed.update import ConnectionState
from dstack_api_client.model.traffic import Traffic
from dstack_api_client.transport import wire
from dstack_api_client.transport.client import Client
from tests.builders import answers
from tests.servers.fake_server import FakeServer

JSON = {"Content-Type": "application/json"}
DEEP = b'{"other": ' + b"[" * 100_000


def client_of(answer: Callable[[httpx.Request], httpx.Response], **options: Any) -> Client:
    async def no_sleep(seconds: float) -> None:
        del seconds

    transport = httpx.MockTransport(answer)
    return Client("http://server", "secret", transport=transport, sleep=no_sleep, **options)


async def in_pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b" " * 1024
        await lowlevel.checkpoint()


async def silent() -> AsyncIterator[bytes]:
    yield b"{"
    await asyncio.Event().wait()


def body(content: AsyncIterator[bytes], **headers: str) -> httpx.Response:
    return httpx.Response(200, content=content, headers=headers)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: body(in_pieces(b"no gzip"), **{"Content-Encoding": "gzip"}), "unpacked"),
        (lambda: body(in_pieces(b"x"), **{"Content-Encoding": "gzip, gzip"}), "not asked for"),
        (lambda: body(endless()), "larger than"),
        (
            lambda: body(
                in_pieces(gzip.compress(b" " * 8_000_000)), **{"Content-Encoding": "gzip"}
            ),
            "larger than",
        ),
        (lambda: body(in_pieces(DEEP)), "nested too deeply"),
        (lambda: httpx.Response(500, content=DEEP), "HTTP 500"),
        (lambda: body(in_pieces(b"\xff")), "could not be read"),
    ],
)
async def test_an_answer_that_is_none_is_an_error_with_a_sentence(
    make: Callable[[], httpx.Response], error: str
) -> None:
    async with client_of(lambda request: make(), largest=1_000_000) as client:
        with pytest.raises(errors.ApiError, match=error) as caught:
            await client.server.info()
    assert caught.value.hint


async def test_a_whole_answer_has_a_time_limit_however_it_drips() -> None:
    async with client_of(lambda request: body(silent()), timeout=0.01) as client:
        with pytest.raises(errors.TimedOutError):
            await client.server.info()
        assert client.meter.requests == 1  # it is not tried again


async def test_a_change_whose_answer_is_too_large_may_have_been_made() -> None:
    from dstack_api_client.errors import UnansweredError

    async with client_of(lambda request: body(endless()), largest=10_000) as client:
        with pytest.raises(UnansweredError):
            await client.fleets.delete("main", "f")


@pytest.mark.parametrize(
    ("date", "known"),
    [
        ("Sun, 01 Mar 2026 12:00:00 -0000", True),
        ("Sun, 01 Mar 2026 12:00:00 GMT", True),
        ("Sun, 01 Mar 1801 12:00:00 GMT", False),
        ("Sun, 99 Mar 99999999999999999999 12:00:00 GMT", False),
        ("now", False),
        ("", False),
    ],
)
async def test_a_date_that_is_none_tells_no_time(date: str, known: bool) -> None:
    answer = httpx.Response(200, json={}, headers={"Date": date})
    async with client_of(lambda request: answer) as client:
        await client.server.info()
    assert (client.clock_offset is not None) == known


async def test_what_can_not_be_written_is_not_sent() -> None:
    async with client_of(lambda request: httpx.Response(500)) as client:
        with pytest.raises(errors.WrongShapeError, match="can't be written"):
            await client.events.newest({"target_jobs": ["\ud800"]})
        assert client.meter.requests == 0


@pytest.mark.parametrize("proxy", ["socks5://user:hunter2@h:1", "nonsense://hunter2@"])
async def test_a_proxy_that_can_not_be_used_is_a_state_of_the_connection(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    async with Client("https://dstack.example.com", "secret") as client:
        with pytest.raises(ConfigError, match="ALL_PROXY") as caught:
            await client.server.info()
        assert "hunter2" not in str(caught.value)
        feed = Feed(client, "main")
        (update,) = [update async for update in feed.poll()]
    assert update.health.state is ConnectionState.CONNECTING
    assert "ALL_PROXY" in (update.health.message or "")


def wrong(**changes: Any) -> dict[str, Any]:
    return answers.run(2, answers.job(0), name="bad", **changes)


BAD_RUNS = [
    wrong(submitted_at="0001-01-01T00:00:00Z"),
    wrong(submitted_at="9999-12-31T23:59:59Z"),
    wrong(deployment_num=10**30),
    wrong(run_spec={"run_name": "bad", "configuration": {"nest": [[]]}} | {"deep": None}),
]
for _ in range(200):
    BAD_RUNS[-1]["run_spec"]["deep"] = [BAD_RUNS[-1]["run_spec"]["deep"]]


@pytest.mark.parametrize("bad", BAD_RUNS)
async def test_a_bad_record_costs_itself_and_is_named(bad: dict[str, Any]) -> None:
    server = FakeServer()
    server.runs = [answers.run(1, answers.job(0), name="good"), bad]
    async with server.client() as client:
        feed = Feed(client, "main")
        updates = [update async for update in feed.poll()]
        snapshot = updates[-1].snapshot
        assert snapshot is not None
        assert updates[-1].health.state is ConnectionState.LIVE
        assert [service.name for service in snapshot.services.values()] == ["good"]
        (message,) = snapshot.unreadable
        assert "bad can't be read" in message
        server.runs[1] = answers.run(2, answers.job(0), name="bad")
        updates = [update async for update in feed.poll(full=True)]
        snapshot = updates[-1].snapshot
        assert snapshot is not None
        assert {service.name for service in snapshot.services.values()} == {"good", "bad"}
        assert snapshot.unreadable == ()


@pytest.mark.parametrize("number", [b"1e999", b"-1E+400", b'[0, {"a": 1e0999}]'])
def test_a_spec_with_a_number_out_of_range_is_refused_when_it_comes(number: bytes) -> None:
    """It is decoded later, where nobody expects a fault."""
    raw = msgspec.json.encode(answers.fleet(1))
    assert b'"spec":{' in raw
    with pytest.raises(msgspec.DecodeError, match="out of range"):
        wire.decode_fleet(raw.replace(b'"spec":{', b'"spec":{"odd":' + number + b",", 1))


async def test_what_was_known_of_a_record_stays_while_it_can_not_be_read() -> None:
    server = FakeServer()
    server.runs = [answers.run(number, answers.job(0), name=f"run-{number}") for number in (1, 2)]
    async with server.client() as client:
        feed = Feed(client, "main")
        async for _ in feed.poll():
            pass
        server.runs[1]["deployment_num"] = 10**30
        async for _ in feed.poll(full=True):
            pass
        assert feed.snapshot is not None
        assert {service.name for service in feed.snapshot.services.values()} == {"run-1", "run-2"}
        assert len(feed.snapshot.unreadable) == 1
        del server.runs[1]
        async for _ in feed.poll(full=True):
            pass
        assert feed.snapshot.unreadable == ()
        assert [service.name for service in feed.snapshot.services.values()] == ["run-1"]


@pytest.mark.parametrize("place", range(5))
async def test_pages_go_on_after_a_bad_record_wherever_it_stands(place: int) -> None:
    server = FakeServer()
    server.runs = [answers.run(number, name=f"run-{number}") for number in range(5)]
    server.runs[place]["deployment_num"] = -1
    async with server.client() as client:
        feed = Feed(client, "main")
        feed._sizes.runs._first = 1
        async for _ in feed.poll():
            pass
        assert feed.snapshot is not None
        assert len(feed.snapshot.services) == 4


@pytest.mark.parametrize("without", [{"created_at": None}, {"created_at": None, "id": 5}])
@pytest.mark.parametrize("number", range(4))
async def test_pages_go_on_after_bad_records_that_do_not_tell_where_they_stand(
    number: int, without: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is not listed is asked for by itself; a fleet is not."""
    monkeypatch.setattr(PageSize, "fitting", lambda *_: 1)
    server = FakeServer()
    server.fleets = [answers.fleet(number) for number in range(8)]
    async with server.client() as client:
        feed = Feed(client, "main")
        async for _ in feed.poll(full=True):
            pass
        bad = [fleet["id"] for fleet in server.fleets[number : number + 4]]
        right_one = server._fleet
        monkeypatch.setattr(
            server,
            "_fleet",
            lambda each: {**right_one(each), **(without if each["id"] in bad else {})},
        )
        for _ in range(2):
            async for _ in feed.poll(full=True):
                pass
        assert feed.snapshot is not None
        assert feed.health.state is ConnectionState.LIVE
        there = {*range(8)}
        if "id" in without:  # nothing tells which ones can't be read
            there -= {*range(number, number + 4)}
        names = {fleet.name for fleet in feed.snapshot.fleets.values()}
        assert names == {f"fleet-{each}" for each in there}


async def test_a_time_without_a_zone_is_utc() -> None:
    run = answers.run(1, submitted_at="2026-03-01T12:00:01")
    async with client_of(lambda request: httpx.Response(200, json=[run])) as client:
        (run,) = await client.runs.page("main", limit=10)
    assert run.submitted_at.isoformat() == "2026-03-01T12:00:01+00:00"


async def test_an_id_that_is_none_costs_its_record() -> None:
    server = FakeServer()
    server.runs = [answers.run(1, answers.job(0)), answers.run(2, id="../x", name="odd")]
    async with server.client() as client:
        feed = Feed(client, "main")
        feed.focus(services=["../x"], opened_service="../x")
        for _ in range(2):
            updates = [update async for update in feed.poll()]
        assert updates[-1].health.state is ConnectionState.LIVE
        assert any("not a UUID" in message for message in updates[-1].snapshot.unreadable)


async def test_a_fault_of_this_client_is_a_state_and_logged_without_values(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    def broken(*arguments: Any, **options: Any) -> None:
        secret = "hunter2"
        raise KeyError(secret)

    server = FakeServer()
    async with server.client() as client:
        feed = Feed(client, "main")
        monkeypatch.setattr("dstack_api_client.feed.feed.steps", broken)
        (update,) = [update async for update in feed.poll()]
        assert update.health.state is ConnectionState.CONNECTING
        assert "KeyError" in (update.health.message or "")
        monkeypatch.undo()
        async for each in feed.poll():
            update = each
        assert update.health.state is ConnectionState.LIVE
    (log,) = tmp_path.rglob("faults.log")
    assert log.stat().st_mode & 0o777 == 0o600
    assert "KeyError" in log.read_text()
    assert "hunter2" not in log.read_text()


async def test_a_fault_in_a_screens_own_read_is_a_failure_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    async def broken() -> None:
        raise ZeroDivisionError("hunter2")

    attempts = Attempts()
    assert await attempts.of(broken()) is None
    assert "ZeroDivisionError" in str(attempts.failure)
    assert "hunter2" not in str(attempts.failure)


async def test_requests_that_took_too_long_give_their_connections_back() -> None:
    going = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b'{"server_version": "0.22.5"}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        await going.wait()
        writer.write(body)
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with listener, Client(url, "secret") as client:
        transport = client.transport
        longest, transport._longest = transport._longest, 0.05
        for _ in range(6):  # more than there are connections
            with pytest.raises(errors.TimedOutError):
                await client.server.info()
        going.set()
        transport._longest = longest
        for _ in range(6):
            assert (await client.server.info()).version == "0.22.5"


async def test_a_run_whose_id_is_none_is_gone_when_it_is_listed_no_more() -> None:
    """It can't be asked for by itself, so nothing else would say so."""
    server = FakeServer()
    server.runs = [answers.run(1, answers.job(0), name="chat")]
    right = server.runs[0]["id"]
    server.runs[0]["id"] = "no-uuid"
    async with server.client() as client:
        feed = Feed(client, "main")
        for full in (False, True):
            async for _ in feed.poll(full=full):
                pass
            assert feed.snapshot is not None
            assert set(feed.snapshot.services) == {"no-uuid"}
        server.runs[0]["id"] = right
        async for _ in feed.poll(full=True):
            pass
        assert set(feed.snapshot.services) == {right}


async def test_a_fleet_whose_configuration_is_no_object_is_one_without_settings() -> None:
    server = FakeServer()
    fleet = answers.fleet(1)
    server.fleets = [{**fleet, "spec": {"configuration": ["x"], "profile": 5}}]
    async with server.client() as client:
        feed = Feed(client, "main")
        async for _ in feed.poll():
            pass
    assert feed.snapshot is not None
    (read,) = feed.snapshot.fleets.values()
    assert (read.spec["configuration"], read.spec["profile"]) == ({}, {})


async def test_a_bad_instance_costs_itself_and_is_named() -> None:
    server = FakeServer()
    server.fleets = [answers.fleet(1)]
    server.instances = [answers.instance(number, server.fleets[0]) for number in (1, 2)]
    async with server.client() as client:
        feed = Feed(client, "main")
        await _polled(feed)
        server.instances[1] |= {"price": [], "status": "idle"}
        for _ in range(2):
            await _polled(feed)
            assert feed.snapshot is not None
            assert len(feed.snapshot.fleets) == 1
            statuses = [each.status for each in feed.snapshot.instances.values()]
            assert statuses == ["busy", "busy"], "what was known of it stays"
            (message,) = feed.snapshot.unreadable
            assert message.startswith("Of the instances in the fleets of project main, fleet-2 ")
        server.instances[1] |= {"price": 1.0}
        for _ in range(2):
            await _polled(feed)
        assert feed.snapshot.unreadable == ()
        assert [each.status for each in feed.snapshot.instances.values()] == ["busy", "idle"]
    new = Feed(server.client(), "main")
    server.instances[1] |= {"price": []}
    await _polled(new)
    assert new.snapshot is not None
    assert [each.name for each in new.snapshot.instances.values()] == ["fleet-1"]


@pytest.mark.parametrize(
    "bad", [{"fallback_replicas": "x"}, {"warnings": [[]]}, {"run_id": None}], ids=str
)
async def test_a_bad_summary_of_a_placement_costs_itself(bad: dict[str, Any]) -> None:
    right = {"run_id": answers.ident(2), "managed": True}
    answer = {"runs": [{"run_id": answers.ident(1), **bad}, right], "placements": []}
    async with client_of(lambda request: httpx.Response(200, json=answer)) as client:
        found = await client.placements.list("main", [])
        assert [each.run_id for each in found.summaries] == [right["run_id"]]
        assert len(client.unreadable.messages) == 1


@pytest.mark.parametrize(
    "bad", [{"requests": -1}, {"window": 0}, {"request_time": "x"}, {"run_id": None}], ids=str
)
async def test_bad_traffic_costs_itself(bad: dict[str, Any]) -> None:
    right = {"run_id": answers.ident(2), "requests": 90, "window": 60, "request_time": 0.41}
    counted = [{**right, "run_id": answers.ident(1), **bad}, right]
    answer = {"runs": [], "placements": [], "traffic": counted}
    async with client_of(lambda request: httpx.Response(200, json=answer)) as client:
        found = await client.placements.list("main", [])
        assert found.traffic == {right["run_id"]: Traffic(90, 60, 0.41)}
        assert len(client.unreadable.messages) == 1


async def test_a_bad_metric_or_line_of_a_log_costs_itself() -> None:
    metrics = [{"name": "cpu", "timestamps": ["x"]}, {"name": "memory"}]
    lines = [
        {"timestamp": None, "message": "eA=="},
        {"timestamp": answers.at(1), "message": "eQ=="},
    ]
    both = {"metrics": metrics, "logs": lines}
    async with client_of(lambda request: httpx.Response(200, json=both)) as client:
        found = await client.metrics.job("main", "chat")
        assert [each.name for each in found.metrics] == ["memory"]
        page = await client.logs.poll("main", "chat", answers.ident(1))
        assert [each.message for each in page.logs] == ["eQ=="]


@pytest.mark.parametrize(
    ("escaped", "shown"),
    [
        ("\\ud800", "\ufffd"),
        ("\\uDC00x", "\ufffdx"),
        ("\\ud83d\\ude00", "\U0001f600"),
        ("\\ud83d\\ud83d\\ude00", "\ufffd\U0001f600"),
        ("\\\\ud800", "\\ud800"),
    ],
)
async def test_half_a_character_costs_nothing_else(escaped: str, shown: str) -> None:
    answer = f'{{"server_version": "{escaped}"}}'.encode()
    async with client_of(lambda request: httpx.Response(200, content=answer)) as client:
        found = await client.server.info()
    assert found.version == shown


async def _polled(feed: Feed) -> None:
    async for _ in feed.poll(full=True):
        pass
