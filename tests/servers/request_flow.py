"""Requests that flow through a service while something is done to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from dstack_simulator.handle.handle import Handle
from tests.waiting import until

#: Clients that ask a service all the time, and seconds between two requests of one.
_CLIENTS, _PAUSE = 2, 0.5
#: Answers that there are at least while something is done.
_ENOUGH = 40
#: Requests of a client that nothing takes as long as.
_MOST = 10_000
_BODY = {
    "model": "acme/chat-8b",
    "messages": [{"role": "user", "content": "Hello"}],
    "max_tokens": 8,
}


class Requests:
    """Requests to a service's URL through the server's own proxy, one after the other."""

    def __init__(self, sim: Handle, name: str) -> None:
        self.answered = 0
        self.failed: list[str] = []
        self._url = f"/proxy/services/{sim.project}/{name}/v1/chat/completions"
        self._sim = sim
        self._ended = asyncio.Event()

    async def _answers(self) -> bool:
        async with self._sim.client() as client:
            return (await client.post(self._url, json=_BODY)).status_code == 200

    async def _ask(self) -> None:
        async with self._sim.client() as client:
            for _ in range(_MOST):
                try:
                    self._count(await client.post(self._url, json=_BODY))
                except httpx.HTTPError as error:
                    self.failed.append(repr(error))
                try:
                    await asyncio.wait_for(self._ended.wait(), _PAUSE)
                except asyncio.TimeoutError:
                    continue
                return

    def _count(self, answer: httpx.Response) -> None:
        if answer.status_code == 200 and answer.json()["choices"]:
            self.answered += 1
        else:
            self.failed.append(f"{answer.status_code}: {answer.text[:200]}")

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Has clients ask for as long as the block lasts, once the service answers at all."""
        await until(self._answers, limit=90, every=_PAUSE, what="the service answers")
        clients = [asyncio.create_task(self._ask()) for _ in range(_CLIENTS)]
        try:
            yield
            # What was done may have taken too little time for the requests to tell anything.
            await until(lambda: self.answered > _ENOUGH, limit=60, what="enough answers")
        finally:
            self._ended.set()
            await asyncio.gather(*clients)
