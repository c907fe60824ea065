"""Looking at routers: one look for all who ask, with limits, and what each answer means."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from dstack._internal.core.errors import SSHError

from dstack_placement.server.routers import replica_tunnels, router_looks
from dstack_placement.server.routers.router_looks import Look, RouterLooks, RouterStatus
from dstack_placement.server.routers.worker_commands import read_worker_command
from tests.waiting import until

WORKERS = [{"id": "w", "url": "http://10.0.0.1:8000", "labels": {}, "new_in_smg": 1}]


class Router:
    """Stands for a router behind its tunnel.

    Attributes:
        opened: How many tunnels were opened.
        closing: How many of them somebody began to close.
        closed: How many are closed.
        asked: How many looks came through them.
        together: How many looks were under way at once at most.
        gate: Answers wait until it is set.
        closes: What closes a tunnel waits until it is set.
        error: Why no tunnel can be opened.
        broken: Why nothing comes through an open one.
    """

    def __init__(self, answers: dict[str, httpx.Response]) -> None:
        self.opened = self.closing = self.closed = self.asked = self.together = self._under_way = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.closes = asyncio.Event()
        self.closes.set()
        self.error: Exception | None = None
        self.broken: Exception | None = None
        self._answers = answers

    @asynccontextmanager
    async def tunnel(self, job_model: Any) -> AsyncIterator[httpx.AsyncClient]:
        self.opened += 1
        try:
            if self.error is not None:
                raise self.error
            async with httpx.AsyncClient(transport=httpx.MockTransport(self._answer)) as client:
                yield client
        finally:
            self.closing += 1
            await self.closes.wait()
            self.closed += 1

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/workers":
            self.asked += 1
        self._under_way += 1
        self.together = max(self.together, self._under_way)
        await self.gate.wait()
        self._under_way -= 1
        if self.broken is not None:
            raise self.broken
        return self._answers.get(request.url.path, httpx.Response(404))


PROJECT = uuid.uuid4()


def job(project: uuid.UUID = PROJECT) -> Any:
    return SimpleNamespace(id=uuid.uuid4(), project_id=project)


def reached(monkeypatch: pytest.MonkeyPatch, **answers: httpx.Response) -> Router:
    router = Router({f"/{path}": answer for path, answer in answers.items()})
    monkeypatch.setattr(replica_tunnels, "get_service_replica_client", router.tunnel)
    return router


@pytest.mark.parametrize(("status", "ready"), [(200, True), (503, False), (404, None)])
async def test_the_list_is_given_untouched(
    monkeypatch: pytest.MonkeyPatch, status: int, ready: bool | None
) -> None:
    answer = httpx.Response(200, json={"workers": WORKERS, "total": 1})
    reached(monkeypatch, workers=answer, readiness=httpx.Response(status))
    look = await RouterLooks().look(job())
    assert (look.status, look.ready, look.message) == (RouterStatus.OK, ready, None)
    assert list(look.workers) == WORKERS


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (httpx.Response(401), RouterStatus.REFUSED),
        (httpx.Response(403), RouterStatus.REFUSED),
        (httpx.Response(500), RouterStatus.NO_ANSWER),
        (httpx.Response(200, text="<html>"), RouterStatus.NO_ANSWER),
        (httpx.Response(200, json=[]), RouterStatus.NO_ANSWER),
        (httpx.Response(200, json={"workers": ["x"]}), RouterStatus.NO_ANSWER),
        (httpx.Response(200, content=b" " * 3_000_000), RouterStatus.NO_ANSWER),
    ],
)
async def test_other_answers_are_told(
    monkeypatch: pytest.MonkeyPatch, answer: httpx.Response, expected: RouterStatus
) -> None:
    reached(monkeypatch, workers=answer)
    look = await RouterLooks().look(job())
    assert (look.status, look.workers) == (expected, ())
    assert look.message is not None
    assert look.message.count(". ") == 1


@pytest.mark.parametrize("error", [SSHError("no route"), httpx.ConnectError("refused")])
async def test_a_router_that_can_not_be_reached(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    reached(monkeypatch).error = error
    look = await RouterLooks().look(job())
    assert look.status is RouterStatus.NO_ANSWER


async def test_one_look_answers_all_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = httpx.Response(200, json={"workers": WORKERS})
    router = reached(monkeypatch, workers=answer)
    looks, one = RouterLooks(), job()
    seen = await asyncio.gather(*(looks.look(one) for _ in range(10)))
    assert router.asked == 1
    assert len({look.observed_at for look in seen}) == 1
    monkeypatch.setattr(router_looks, "KEPT", 0.0)
    await looks.look(one)
    assert router.asked == 2


async def test_a_slow_router_holds_nobody_up_and_is_asked_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    router = reached(monkeypatch, workers=httpx.Response(200, json={"workers": WORKERS}))
    router.gate.clear()
    monkeypatch.setattr(router_looks, "LIMIT", 0.01)
    monkeypatch.setattr(router_looks, "KEPT", 0.0)
    looks, one = RouterLooks(), job()
    slow = [await looks.look(one) for _ in range(3)]
    assert {look.status for look in slow} == {RouterStatus.NO_ANSWER}
    assert router.asked == 1
    router.gate.set()
    monkeypatch.setattr(router_looks, "LIMIT", 5.0)
    assert (await looks.look(one)).status is RouterStatus.OK
    assert router.asked == 1


async def test_few_looks_are_under_way_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    router = reached(monkeypatch, workers=httpx.Response(200, json={"workers": WORKERS}))
    router.gate.clear()
    monkeypatch.setattr(router_looks, "_SLOW", 600.0)
    looks = RouterLooks()
    begun: list[asyncio.Task[Look]] = [asyncio.ensure_future(looks.look(job())) for _ in range(30)]
    await until(lambda: router.together == 8)
    router.gate.set()
    assert {look.status for look in await asyncio.gather(*begun)} == {RouterStatus.OK}
    assert (router.asked, router.together) == (30, 8)


async def test_dead_hosts_of_one_project_keep_no_other_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dead = reached(monkeypatch)
    dead.gate.clear()
    monkeypatch.setattr(router_looks, "_SLOW", 600.0)
    monkeypatch.setattr(router_looks, "LIMIT", 0.05)
    looks = RouterLooks()
    waiting = [asyncio.ensure_future(looks.look(job())) for _ in range(9)]
    seen = await asyncio.gather(*waiting)
    asked = sum("did not answer within" in str(look.message) for look in seen)
    assert asked == 8
    assert sum("has not asked" in str(look.message) for look in seen) == 1
    monkeypatch.setattr(router_looks, "LIMIT", 5.0)
    reached(monkeypatch, workers=httpx.Response(200, json={"workers": WORKERS}))
    look = await looks.look(job(uuid.uuid4()))
    assert look.status is RouterStatus.OK
    dead.gate.set()
    await until(lambda: all(task.done() for task, _ in looks._begun.values()))


async def test_a_dead_host_leaves_its_place_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = reached(monkeypatch)
    dead.gate.clear()
    monkeypatch.setattr(router_looks, "_SLOW", 0.01)
    monkeypatch.setattr(router_looks, "LIMIT", 60.0)
    looks = RouterLooks()
    waiting = [asyncio.ensure_future(looks.look(job())) for _ in range(8)]
    await until(lambda: dead.asked == 8)
    reached(monkeypatch, workers=httpx.Response(200, json={"workers": WORKERS}))
    assert (await looks.look(job())).status is RouterStatus.OK
    assert not any(each.done() for each in waiting)
    dead.gate.set()
    await asyncio.gather(*waiting)


async def test_a_dead_router_is_asked_less_and_less_and_again_once_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    router = reached(monkeypatch, workers=httpx.Response(200, json={"workers": WORKERS}))
    router.error = SSHError("no route")
    clock = 0.0
    monkeypatch.setattr(router_looks, "_now", lambda: clock)
    looks, one = RouterLooks(), job()
    attempts = []
    while clock < 300:
        before = router.opened
        look = await looks.look(one)
        assert look.status is RouterStatus.NO_ANSWER
        if router.opened > before:
            attempts.append(clock)
        clock += 1
    assert attempts[:6] == [0, 2, 6, 14, 30, 62]
    assert max(later - at for at, later in pairwise(attempts)) == 60
    router.error = None
    clock += 60
    assert (await looks.look(one)).status is RouterStatus.OK
    clock += 1
    asked = router.asked
    assert (await looks.look(one)).status is RouterStatus.OK
    assert router.asked == asked + 1


async def test_a_tunnel_stays_open_from_look_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    router = reached(monkeypatch, workers=httpx.Response(200, json={"workers": WORKERS}))
    monkeypatch.setattr(router_looks, "KEPT", 0.0)
    looks, one = RouterLooks(), job()
    for _ in range(3):
        assert (await looks.look(one)).status is RouterStatus.OK
    assert (router.asked, router.opened, router.closed) == (3, 1, 0)


async def test_a_tunnel_that_nobody_uses_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    router = reached(monkeypatch, workers=httpx.Response(200, json={"workers": WORKERS}))
    monkeypatch.setattr(replica_tunnels, "IDLE", 0.01)
    monkeypatch.setattr(router_looks, "KEPT", 0.0)
    looks, one = RouterLooks(), job()
    router.gate.clear()
    look = asyncio.ensure_future(looks.look(one))
    await until(lambda: router.asked == 1)
    router.gate.set()
    assert (await look).status is RouterStatus.OK, "it is not closed under a look"
    await until(lambda: router.closed == 1, what="it is closed")
    assert (await looks.look(one)).status is RouterStatus.OK
    assert router.opened == 2


async def test_a_tunnel_that_is_being_closed_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    router = reached(monkeypatch, workers=httpx.Response(200, json={"workers": WORKERS}))
    router.closes.clear()
    monkeypatch.setattr(replica_tunnels, "IDLE", 0.01)
    monkeypatch.setattr(router_looks, "KEPT", 0.0)
    looks, one = RouterLooks(), job()
    assert (await looks.look(one)).status is RouterStatus.OK
    await until(lambda: router.closing == 1, what="it is being closed")
    assert (await looks.look(one)).status is RouterStatus.OK
    assert router.opened == 2
    router.closes.set()


@pytest.mark.parametrize("broken", [httpx.ReadError("reset"), httpx.ConnectError("gone")])
async def test_a_tunnel_that_broke_is_replaced_at_once(
    monkeypatch: pytest.MonkeyPatch, broken: Exception
) -> None:
    monkeypatch.setattr(router_looks, "KEPT", 0.0)
    old = reached(monkeypatch, workers=httpx.Response(200, json={"workers": WORKERS}))
    looks, one = RouterLooks(), job()
    await looks.look(one)
    old.broken = broken
    new = reached(monkeypatch, workers=httpx.Response(200, json={"workers": WORKERS}))
    assert (await looks.look(one)).status is RouterStatus.OK
    assert (old.opened, new.opened) == (1, 1)
    await until(lambda: old.closed == 1, what="the old one is closed")


async def test_a_router_that_takes_too_long_is_not_asked_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(router_looks, "KEPT", 0.0)
    router = reached(monkeypatch, workers=httpx.Response(200, json={"workers": WORKERS}))
    looks, one = RouterLooks(), job()
    await looks.look(one)
    router.broken = httpx.ReadTimeout("too long")
    assert (await looks.look(one)).status is RouterStatus.NO_ANSWER
    assert (router.asked, router.opened) == (2, 1)
    await until(lambda: router.closed == 1, what="its tunnel is closed, which may be the cause")


SGLANG = "python -m sglang.launch_server --model m"
VLLM = "python -m vllm.entrypoints.grpc_server --kv-transfer-config"
SEVERAL_LINES = f"{SGLANG} --disaggregation-mode=prefill \\\n  --disaggregation-bootstrap-port 8998"
PRODUCER = '{"kv_connector": "NixlConnector", "kv_role": "kv_producer"}'

ENCODER = '{"ec_connector": "ECExampleConnector", "ec_role": "ec_producer"}'


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        ([SGLANG], ("regular", None, "http")),
        ([f"{SGLANG} --disaggregation-mode decode"], ("decode", None, "http")),
        (["pip install x", SEVERAL_LINES], ("prefill", 8998, "http")),
        (["bash", "-c", f"{SGLANG} --disaggregation-mode 'null'"], ("regular", None, "http")),
        ([f"{SGLANG} --grpc-mode"], ("regular", None, "grpc")),
        (["vllm serve m"], ("regular", None, "http")),
        ([f"{VLLM} '{PRODUCER}'"], ("prefill", None, "grpc")),
        ([f'{VLLM} \'{{"kv_role":"kv_consumer"}}\''], ("decode", None, "grpc")),
        ([f"{SGLANG} --disaggregation-mode encode"], ("encode", None, "http")),
        ([f"{SGLANG} --encoder-only"], ("encode", None, "http")),
        ([f"{VLLM} '{ENCODER}'"], ("encode", None, "grpc")),
        (["./serve.sh"], (None, None, "http")),
        ([], (None, None, "http")),
    ],
)
def test_what_a_command_line_says(commands: list[str], expected: tuple[object, ...]) -> None:
    found = read_worker_command(commands)
    assert (found.role, found.bootstrap_port, found.scheme) == expected
