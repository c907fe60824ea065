import gzip
import json
import random
import ssl
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from dstack_api_client import errors
from dstack_api_client.transport import wire
from dstack_api_client.transport.client import Client
from dstack_api_client.transport.requests import PAGE
from tests.builders import answers
from tests.servers.fake_server import FakeServer


def client_of(
    handler: Callable[[httpx.Request], httpx.Response], waits: list[float] | None = None
) -> Client:
    async def sleep(seconds: float) -> None:
        if waits is not None:
            waits.append(seconds)

    return Client(
        "http://server/",
        "secret-token",
        transport=httpx.MockTransport(handler),
        sleep=sleep,
        rng=random.Random(1),
    )


@pytest.mark.parametrize("page", [1, 2, 3, 7, 10])
async def test_runs_are_paged_to_the_end_even_with_equal_times(page: int) -> None:
    server = FakeServer()
    server.runs = [
        answers.run(number, name=f"run-{number}", submitted_at=answers.at(number // 3))
        for number in range(7)
    ]
    async with server.client() as client:
        seen: list[str] = []
        after = None
        while runs := await client.runs.page("main", limit=page, after=after):
            seen += [run.id for run in runs]
            after = runs[-1].submitted_at, runs[-1].id
    assert sorted(seen) == sorted(run["id"] for run in server.runs)
    assert len(set(seen)) == 7


async def test_a_server_that_repeats_a_page_is_an_error_and_no_endless_loop() -> None:
    def repeat(request: httpx.Request) -> httpx.Response:
        del request
        event = answers.event(1, "Run updated.", ("run", answers.ident(1), "chat"))
        return httpx.Response(200, json=[event] * PAGE)

    async with client_of(repeat) as client:
        with pytest.raises(errors.WrongShapeError, match="repeats itself"):
            async for _ in client.events.since(answers.START, {}):
                pass
        assert client.meter.requests == 2


async def test_a_run_is_read_alone_from_the_list_by_where_it_stands() -> None:
    server = FakeServer()
    server.runs = [
        answers.run(number, answers.job(0), name=f"run-{number}", submitted_at=answers.at(5))
        for number in range(3)
    ]
    async with server.client() as client:
        for run in server.runs:
            found = await client.runs.now("main", run["id"], answers.as_run(run).submitted_at)
            assert found is not None
            assert found.id == run["id"]
            assert found.jobs is not None
        gone = server.runs.pop(1)
        assert await client.runs.now("main", gone["id"], answers.as_run(gone).submitted_at) is None


@pytest.mark.parametrize("trouble", [429, 502, 503, 504, httpx.ConnectError("refused")])
async def test_reads_are_tried_again_on_trouble_that_passes(trouble: int | Exception) -> None:
    troubles = [trouble, trouble]
    waits: list[float] = []

    def handler(request: httpx.Request) -> httpx.Response:
        del request
        if troubles:
            now = troubles.pop()
            if isinstance(now, Exception):
                raise now
            return httpx.Response(now)
        return httpx.Response(200, json={"server_version": "0.22.5"})

    async with client_of(handler, waits) as client:
        assert (await client.server.info()).version == "0.22.5"
        assert client.meter.requests == 3
    assert len(waits) == 2
    assert 0.1 <= waits[0] <= 0.3 <= waits[1] <= 0.9


@pytest.mark.parametrize(
    ("answer", "kind", "tries"),
    [
        (httpx.Response(503), errors.BusyError, 3),
        (httpx.ConnectError("refused"), errors.CannotConnectError, 3),
        (httpx.RemoteProtocolError("gone"), errors.CannotConnectError, 3),
        (httpx.ReadTimeout("slow"), errors.TimedOutError, 1),
        (httpx.Response(500), errors.ServerFailedError, 1),
        (httpx.Response(403, json={"detail": {"msg": "no"}}), errors.ForbiddenError, 1),
        (httpx.Response(200, text="<html>hello</html>"), errors.ForeignAnswerError, 1),
        (httpx.Response(200, content=b"\xff"), errors.ForeignAnswerError, 1),
        (httpx.Response(200, json=["not", "an", "object"]), errors.WrongShapeError, 1),
        (httpx.Response(301, headers={"location": "/"}), errors.ForeignAnswerError, 1),
    ],
)
async def test_trouble_that_stays_is_one_of_the_errors(
    answer: httpx.Response | Exception, kind: type[errors.ApiError], tries: int
) -> None:
    asked = 0

    def handler(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        del request
        asked += 1
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with client_of(handler) as client:
        with pytest.raises(errors.ApiError) as raised:
            await client.server.info()
    assert type(raised.value) is kind
    assert asked == tries
    assert "secret-token" not in str(raised.value)


async def test_a_certificate_that_can_not_be_verified_is_named_and_not_tried_again() -> None:
    asked = 0

    def handler(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        del request
        asked += 1
        cause = ssl.SSLCertVerificationError(1, "certificate verify failed")
        cause.verify_message = "self-signed certificate"
        raise httpx.ConnectError("TLS") from cause

    async with client_of(handler) as client:
        with pytest.raises(errors.CertificateError, match="self-signed certificate"):
            await client.server.info()
    assert asked == 1


async def test_answers_may_be_compressed_and_the_meter_counts_what_came_over_the_line() -> None:
    body = json.dumps({"server_version": "0.22.5", "filler": "x" * 10_000}).encode()
    packed = gzip.compress(body)

    def handler(request: httpx.Request) -> httpx.Response:
        assert "gzip" in request.headers["accept-encoding"]
        return httpx.Response(
            200, stream=httpx.ByteStream(packed), headers={"content-encoding": "gzip"}
        )

    async with client_of(handler) as client:
        assert (await client.server.info()).version == "0.22.5"
        assert client.meter.bytes == len(packed)
        assert client.meter.seconds > 0


async def test_requests_name_only_what_servers_know_and_carry_the_token() -> None:
    requests: list[httpx.Request] = []
    me = {"id": answers.ident(1), "username": "ada"}
    given = {"list": [], "poll": {"logs": []}, "get_my_user": me}

    def handler(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json=given[request.url.path.rpartition("/")[2]])

    async with client_of(handler) as client:
        await client.projects.list()
        await client.users.me(wire.User, "this user")
        await client.events.newest({"within_projects": [answers.ident(1)]})
        await client.logs.poll("main", "llm", answers.ident(1), start=answers.START)
        await client.fleets.list("a/b")
    assert [request.headers["authorization"] for request in requests] == [
        "Bearer secret-token"
    ] * len(requests)
    assert all("x-api-version" not in request.headers for request in requests)
    assert [request.url.raw_path.decode() for request in requests] == [
        "/api/projects/list",
        "/api/users/get_my_user",
        "/api/events/list",
        "/api/project/main/logs/poll",
        "/api/project/a%2Fb/fleets/list",
    ]
    assert json.loads(requests[2].content) == {
        "limit": 100,
        "ascending": False,
        "within_projects": [answers.ident(1)],
    }


async def test_users_never_hold_secrets() -> None:
    user: dict[str, Any] = {
        "id": answers.ident(1),
        "username": "admin",
        "global_role": "admin",
        "active": True,
        "creds": {"token": "t0ken"},
        "ssh_private_key": "key",
    }

    async with client_of(lambda request: httpx.Response(200, json=user)) as client:
        me = await client.users.me(wire.User, "this user")
    assert me.username == "admin"
    assert "t0ken" not in repr(me)
    assert "key" not in repr(me)


async def test_the_clock_of_the_server_is_learned() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        del request
        return httpx.Response(
            200, json={"server_version": None}, headers={"date": "Sun, 01 Mar 2015 12:00:00 GMT"}
        )

    async with client_of(handler) as client:
        assert client.clock_offset is None
        assert (await client.server.info()).version is None
        assert client.clock_offset is not None
        assert client.clock_offset < -(10 * 365 * 86400)


async def test_a_busy_server_is_not_behind_because_its_dates_are_late() -> None:
    """It makes another date only when it comes to it: here, 9 s after the one before."""
    now = datetime.now(timezone.utc).replace(microsecond=0)

    def look(client: Client, *, late: float, at: float) -> float | None:
        sent_at = now - timedelta(seconds=60 - at)
        date = format_datetime(sent_at - timedelta(seconds=late), usegmt=True)
        client.transport._look_at_clock(httpx.Response(200, headers={"date": date}), sent_at)
        return client.clock_offset

    async with client_of(lambda request: httpx.Response(200)) as client:
        for at in range(10):
            assert look(client, late=at, at=at) == 0
        for at in range(10, 50, 2):
            assert look(client, late=2 * (at % 5), at=at) == 0

    async with client_of(lambda request: httpx.Response(200)) as client:
        # One that is behind has no date that says otherwise.
        told = [look(client, late=late, at=4 * at) for at, late in enumerate((12, 9, 8, 14, 8, 9))]
    assert told == [0, 0, 0, 0, -7, -7]


async def test_an_answer_that_takes_long_tells_no_other_time() -> None:
    """The date is that of some moment between the question and the answer."""

    def handler(request: httpx.Request) -> httpx.Response:
        del request
        began = datetime.now(timezone.utc) - timedelta(seconds=answered_before)
        date = {"date": format_datetime(began, usegmt=True)}
        return httpx.Response(200, json={"server_version": None}, headers=date)

    async with client_of(handler) as client:
        answered_before = 1500.0
        await client.server.info()
        assert client.clock_offset is not None
        assert -1501 <= client.clock_offset <= -1498
        answered_before = 0.0
        await client.server.info()
        assert -1.5 <= client.clock_offset <= 0

    sent_at = datetime.now(timezone.utc) - timedelta(seconds=7)
    slow = httpx.Response(200, headers={"date": format_datetime(sent_at, usegmt=True)})
    async with client_of(handler) as client:
        client.transport._look_at_clock(slow, sent_at)
        assert client.clock_offset == 0
        client.transport.clock_offset = -3.0
        client.transport._look_at_clock(slow, sent_at)
        assert client.clock_offset == -3.0


@pytest.mark.parametrize(
    "error",
    [
        httpx.ReadError(""),
        httpx.RemoteProtocolError("bye"),
        httpx.WriteError("[Errno 104]"),
        httpx.CloseError(""),
    ],
)
async def test_a_connection_that_broke_off_is_told_in_words(error: httpx.TransportError) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        del request
        raise error

    async with client_of(handler) as client:
        with pytest.raises(errors.CannotConnectError) as raised:
            await client.server.info()
    assert raised.value.message == (
        f"The connection to {client.url} was closed before the answer was there."
    )


async def test_a_connection_that_could_not_be_opened_has_a_reason_in_words() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("", request=request)

    async with client_of(handler) as client:
        with pytest.raises(errors.CannotConnectError, match=": it could not be opened"):
            await client.server.info()


@pytest.mark.parametrize("since_0_22", [True, False])
async def test_who_borrows_a_fleet_is_told_by_what_its_project_lends(since_0_22: bool) -> None:
    def export(fleet: str, *projects: str, is_global: bool = False) -> dict[str, Any]:
        imports = [{"project_name": name} for name in projects]
        lent = [{"id": fleet, "name": "any"}]
        return {"is_global": is_global, "imports": imports, "exported_fleets": lent}

    exports = [
        export("f-1", "lab", "guest"),
        export("f-1", "guest"),
        export("f-2", "other"),
        export("f-3", is_global=True),
    ]

    def handler(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/api/project/main/exports/list"
        return httpx.Response(200, json={"exports": exports} if since_0_22 else exports)

    async with client_of(handler) as client:
        assert await client.exports.borrowers("main", "f-1") == ("guest", "lab")
        assert await client.exports.borrowers("main", "f-3") == ("*",)
        assert await client.exports.borrowers("main", "f-4") == ()


@pytest.mark.parametrize(
    ("status", "code"), [(400, "error"), (403, "error"), (404, "resource_not_exists")]
)
async def test_a_server_that_lends_nothing_is_no_failure(status: int, code: str) -> None:
    """One without dstack's paid parts refuses: "This dstack server does not support exports"."""
    detail = [{"msg": "This dstack server does not support exports.", "code": code}]

    async with client_of(lambda _: httpx.Response(status, json={"detail": detail})) as client:
        assert await client.exports.borrowers("main", "f-1") == ()
