"""A rebalancing is asked for once, and the audit log has a line whatever came of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from dstack_api_client import errors
from dstack_api_client.edits.perform.rebalancing import Move, cancel, rebalance
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.errors import ReadOnlyError, UnansweredError
from dstack_api_client.transport.client import Client
from tests.builders.audit_log import ends
from tests.builders.service_edits import base

MOVE = {"replica_num": 1, "group": "0", "fleet": "gpu-spot", "to": "gpu-reserved"}


def client(answer: Callable[[httpx.Request], httpx.Response], **options: bool) -> Client:
    return Client("http://server", "t", transport=httpx.MockTransport(answer), **options)


def answers(status: int, body: Any) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(status, json=body)


def breaks(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("it broke", request=request)


def logged(store: Store) -> list[tuple[str, str]]:
    return [(entry["action"], entry["result"]) for entry in ends(store.audit_path)]


async def test_what_was_asked_for_is_told_and_logged(tmp_path: Path) -> None:
    store = Store(tmp_path)
    async with client(answers(200, {"moves": [MOVE]})) as one:
        done = await rebalance(one, base(), store, user="admin")
    assert done.moves == (Move(1, "0", "gpu-spot", "gpu-reserved"),)
    assert done.line == "The server moves 1 replica of chat."
    assert done.notices == ()
    assert logged(store) == [("rebalance", "1 move asked for")]


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (answers(400, {"detail": [{"msg": "no"}]}), errors.RefusedError, "not asked for: "),
        (breaks, UnansweredError, "not known: "),
        (answers(200, {"moves": "soon"}), UnansweredError, "not known: "),
        (answers(200, {}), UnansweredError, "not known: "),
        (answers(200, None), UnansweredError, "not known: "),
        (answers(204, None), UnansweredError, "not known: "),
        (answers(200, "<html>"), UnansweredError, "not known: "),
    ],
)
async def test_what_failed_is_logged_too(
    tmp_path: Path,
    answer: Callable[[httpx.Request], httpx.Response],
    kind: type[errors.ApiError],
    said: str,
) -> None:
    store = Store(tmp_path)
    async with client(answer) as one:
        with pytest.raises(kind):
            await rebalance(one, base(), store)
    ((action, result),) = logged(store)
    assert action == "rebalance"
    assert result.startswith(said)


async def test_read_only_asks_for_nothing_and_logs_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    async with client(breaks, read_only=True) as one:
        with pytest.raises(ReadOnlyError):
            await rebalance(one, base(), store)
    assert logged(store) == []


async def test_a_log_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.touch()
    async with client(answers(200, {"moves": [MOVE]})) as one:
        done = await rebalance(one, base(), Store(place))
    assert done.moves
    (notice,) = done.notices
    assert notice.startswith("The audit log could not be written.")
    async with client(answers(400, {"detail": [{"msg": "no"}]})) as one:
        with pytest.raises(errors.RefusedError, match="The audit log could not be written"):
            await rebalance(one, base(), Store(place))


async def test_a_rebalancing_is_ended_once_whatever_answers(tmp_path: Path) -> None:
    asked: list[Any] = []

    def cut(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path.rpartition("/")[2])
        if asked[-1] == "get":
            return httpx.Response(200, json={"rebalancing": None})
        assert json.loads(request.content) == {"run_name": "chat", "cancel": True}
        return breaks(request)

    for number, answer in enumerate((answers(200, {"moves": []}), cut)):
        store = Store(tmp_path / str(number))
        async with client(answer) as one:
            done = await cancel(one, base(), store)
        assert done.line == (
            "The rebalancing of chat is cancelled; a move that is under way is finished."
        )
        assert logged(store) == [("rebalance", "cancelled")]
    assert asked == ["rebalance", "get"]


async def test_an_end_of_a_rebalancing_that_is_not_known_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path)
    async with client(breaks) as one:
        with pytest.raises(UnansweredError):
            await cancel(one, base(), store)
    ((_, result),) = logged(store)
    assert result.startswith("not known: ")
