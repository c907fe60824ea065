"""Streams that clients hold open through a service's URL while its replicas come and go."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from dstack_simulator.handle.handle import Handle
from tests.waiting import until

_BODY = {
    "model": "acme/chat-8b",
    "messages": [{"role": "user", "content": "Hello"}],
    "stream": True,
}


class Streams:
    """Clients of one service, and what became of their streams.

    Attributes:
        name: The service.
        ends: How many streams ended in which way: `whole`, `cut`, or the status of a refusal.
        longest_wait: Seconds until the first byte of the answer that took longest to begin.
    """

    def __init__(
        self, sim: Handle, name: str, *, url: str | None = None, host: str | None = None
    ) -> None:
        """Clients that have nothing open yet.

        Args:
            sim: Where the service runs.
            name: The service.
            url: Where requests go; through the proxy of each server in turn if None.
            host: The domain that they are for.
        """
        self.ends: Counter[str] = Counter()
        self.longest_wait = 0.0
        self._sim = sim
        self.name = name
        path = "/v1/chat/completions"
        self._url = f"{url}{path}" if url else f"/proxy/services/{sim.project}/{name}{path}"
        self._headers = {"Host": host} if host else {}
        self._turns = 0
        self._begun = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def begin(self, number: int, seconds: float) -> None:
        """Opens streams that last so many seconds, and returns once each of them was open."""
        before = self._begun
        await self._sim.faults.slow_tokens(seconds)
        self._tasks += [asyncio.create_task(self._stream()) for _ in range(number)]
        await until(
            lambda: self._begun >= before + number,
            limit=30,
            what=f"{number} streams of {self.name} are open",
        )

    @asynccontextmanager
    async def flowing(self, number: int, seconds: float) -> AsyncIterator[None]:
        """Has clients open a stream after the other, each so many seconds long, meanwhile."""
        over = asyncio.Event()

        async def client() -> None:
            while not over.is_set():
                await self._stream()

        await self._sim.faults.slow_tokens(seconds)
        clients = [asyncio.create_task(client()) for _ in range(number)]
        try:
            yield
        finally:
            over.set()
            await asyncio.gather(*clients)

    async def open(self) -> int:
        """How many streams the engines have open."""
        return sum(each["open"] for each in await self._sim.requests(self.name))

    async def ended(self) -> Counter[str]:
        """Waits until all streams have ended."""
        await asyncio.gather(*self._tasks)
        return self.ends

    async def answers(self) -> None:
        """Waits until the service answers through its URL."""
        await self._sim.faults.slow_tokens(0)

        async def answered() -> bool:
            return await self._once() == "whole"

        await until(answered, limit=90, every=0.3, what=f"{self.name} answers")

    async def _stream(self) -> None:
        self.ends[await self._once()] += 1

    async def _once(self) -> str:
        text = ""
        self._turns += 1
        server = self._turns % len(self._sim.urls) + 1
        asked = time.monotonic()
        try:
            async with (
                self._sim.client(server=server) as client,
                client.stream(
                    "POST", self._url, json=_BODY, headers=self._headers, timeout=180
                ) as answer,
            ):
                self.longest_wait = max(self.longest_wait, time.monotonic() - asked)
                if answer.status_code != 200:
                    return str(answer.status_code)
                self._begun += 1
                async for part in answer.aiter_text():
                    text += part
        except httpx.HTTPError as error:
            return f"cut: {error!r}" if text else repr(error)
        return "whole" if text.endswith("data: [DONE]\n\n") else "cut"


def drained(lines: list[str]) -> list[str]:
    """The events among others that say how a drain ended."""
    return [line for line in lines if " drained in " in line or " stopped " in line]


def cpu_cloud(capacity: int) -> dict[str, Any]:
    """A cloud of small hosts in one region, which share a network."""
    offer = {
        "instance_type": "c7i.8xlarge",
        "cpus": 32,
        "memory_gib": 64,
        "regions": {"us-east-1": {"on_demand": 1.43, "capacity": capacity}},
    }
    return {"start_seconds": 0.2, "offers": [offer]}
