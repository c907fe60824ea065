"""The one path by which something is changed: once, never read-only, and told right."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from dstack_api_client import errors
from dstack_api_client.errors import ReadOnlyError, UnansweredError
from dstack_api_client.transport.client import Client
from dstack_api_client.transport.transport import WRITES, in_project


class Counting:
    """Answers, or fails, and counts."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        self.answer = answer
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answer(request)

    def client(self, **options: bool) -> Client:
        return Client("http://server", "t", transport=httpx.MockTransport(self), **options)


def _fails(error: type[httpx.TransportError]) -> Callable[[httpx.Request], httpx.Response]:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error("it broke", request=request)

    return fail


def _status(status: int, **detail: str) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(status, json={"detail": [detail]} if detail else None)


async def _change(client: Client) -> None:
    async with client:
        await client.runs.apply("main", {"run_name": "chat"}, {"id": "1"})


@pytest.mark.parametrize(
    "answer",
    [
        *(_fails(kind) for kind in (httpx.ReadError, httpx.ReadTimeout, httpx.WriteError)),
        _fails(httpx.RemoteProtocolError),
        *(_status(code) for code in (500, 502, 503, 504)),
    ],
)
async def test_without_an_answer_it_is_not_sent_again(
    answer: Callable[[httpx.Request], httpx.Response],
) -> None:
    server = Counting(answer)
    with pytest.raises(UnansweredError, match="was sent, and no answer says"):
        await _change(server.client())
    assert len(server.requests) == 1


@pytest.mark.parametrize("kind", [httpx.ConnectError, httpx.ConnectTimeout])
async def test_what_was_never_sent_is_told_so(kind: type[httpx.TransportError]) -> None:
    server = Counting(_fails(kind))
    with pytest.raises(errors.CannotConnectError):
        await _change(server.client())
    assert len(server.requests) == 1


async def test_a_refusal_is_one() -> None:
    server = Counting(_status(400, msg="Resource has been changed", code="error"))
    with pytest.raises(errors.RefusedError, match="Resource has been changed"):
        await _change(server.client())
    server = Counting(_status(403, msg="Access denied", code="forbidden"))
    with pytest.raises(errors.ForbiddenError, match="does not let this user change"):
        await _change(server.client())


async def test_force_is_never_sent() -> None:
    server = Counting(lambda _: httpx.Response(200, json={}))
    await _change(server.client())
    async with server.client() as client:
        await client.fleets.apply("main", {"configuration": {"name": "a"}}, None)
    assert [b'"force":false' in request.content for request in server.requests] == [True, True]


async def test_read_only_sends_nothing() -> None:
    server = Counting(lambda _: httpx.Response(200, json={}))
    async with server.client(read_only=True) as client:
        for change in (
            client.runs.apply("main", {}, {}),
            client.fleets.apply("main", {}, None),
            client.fleets.delete("main", "a"),
            client.fleets.delete_instances("main", "a", [1]),
            client.placements.rebalance("main", "chat"),
        ):
            with pytest.raises(ReadOnlyError):
                await change
        assert server.requests == []
        await client.runs.plan("main", {})
    assert len(server.requests) == 1, "to plan is to read"


@pytest.mark.parametrize("path", sorted(WRITES))
async def test_what_changes_something_is_never_read(path: str) -> None:
    server = Counting(lambda _: httpx.Response(200, json={}))
    address = in_project("a/b", path)
    async with server.client() as client:
        with pytest.raises(AssertionError, match="changes something"):
            await client.transport.read(address, {}, "it")
        assert server.requests == []
        await client.transport.write(address, {}, "it")
    assert len(server.requests) == 1


@pytest.mark.parametrize("path", ["runs/get", "fleets/get_plan", "metrics/job/apply"])
async def test_nothing_else_is_written(path: str) -> None:
    server = Counting(lambda _: httpx.Response(200, json={}))
    async with server.client() as client:
        with pytest.raises(AssertionError, match="not among what changes something"):
            await client.transport.write(in_project("main", path), {}, "it")
    assert server.requests == []
