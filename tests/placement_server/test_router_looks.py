"""Looking at routers: one look for all who ask, with limits, and what each answer means."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from dstack._internal.core.errors import SSHError

from dstack_placement.server import router_looks
from dstack_placement.server.router_looks import Look, RouterLooks, RouterStatus
from dstack_placement.server.worker_commands import read_worker_command
from tests.waiting import until

WORKERS = [{"id": "w", "url": "http://10.0.0.1:8000", "labels": {}, "new_in_smg": 1}]


class Router:
    """Stands for a router behind its tunnel.

    Attributes:
        opened: How many tunnels were opened.
        together: How many were open at once at most.
        gate: Answers wait until it is set.
    """

    def __init__(self, answers: dict[str, httpx.Response]) -> None:
        self.opened = self.together = self._open = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self._answers = answers

    @asynccontextmanager
    async def tunnel(self, job_model: Any) -> AsyncIterator[httpx.AsyncClient]:
        self.opened += 1
        self._open += 1
        self.together = max(self.together, self._open)
        try:
            if self.error is not None:
                raise self.error
            async with httpx.AsyncClient(transport=httpx.MockTransport(self._answer)) as client:
                yield client
        finally:
            self._open -= 1

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        await self.gate.wait()
        return self._answers.get(request.url.path, httpx.Response(404))


def job() -> Any:
    return SimpleNamespace(id=uuid.uuid4())


def reached(monkeypatch: pytest.MonkeyPatch, **answers: httpx.Response) -> Router:
    router = Router({f"/{path}": answer for path, answer in answers.items()})
    monkeypatch.setattr(router_looks, "get_service_replica_client", router.tunnel)
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
    assert router.opened == 1
    assert len({look.observed_at for look in seen}) == 1
    monkeypatch.setattr(router_looks, "KEPT", 0.0)
    await looks.look(one)
    assert router.opened == 2


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
    assert router.opened == 1
    router.gate.set()
    monkeypatch.setattr(router_looks, "LIMIT", 5.0)
    assert (await looks.look(one)).status is RouterStatus.OK
    assert router.opened == 1


async def test_few_looks_are_under_way_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    router = reached(monkeypatch, workers=httpx.Response(200, json={"workers": WORKERS}))
    router.gate.clear()
    looks = RouterLooks()
    begun: list[asyncio.Task[Look]] = [asyncio.ensure_future(looks.look(job())) for _ in range(30)]
    await until(lambda: router.together == 8)
    router.gate.set()
    assert {look.status for look in await asyncio.gather(*begun)} == {RouterStatus.OK}
    assert (router.opened, router.together) == (30, 8)


SGLANG = "python -m sglang.launch_server --model m"
VLLM = "python -m vllm.entrypoints.grpc_server --kv-transfer-config"
SEVERAL_LINES = f"{SGLANG} --disaggregation-mode=prefill \\\n  --disaggregation-bootstrap-port 8998"
PRODUCER = '{"kv_connector": "NixlConnector", "kv_role": "kv_producer"}'


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
        (["./serve.sh"], (None, None, "http")),
        ([], (None, None, "http")),
    ],
)
def test_what_a_command_line_says(commands: list[str], expected: tuple[object, ...]) -> None:
    found = read_worker_command(commands)
    assert (found.role, found.bootstrap_port, found.scheme) == expected
