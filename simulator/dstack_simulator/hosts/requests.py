"""The requests that emulated engines get: which are open, and how the others ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web


@dataclass
class Tally:
    """The requests for inference that one engine got."""

    job_id: str = ""
    job_name: str = ""
    run_name: str = ""
    open: int = 0
    """Being answered now."""
    answered: int = 0
    """Answered to the last byte."""
    cut: int = 0
    """Broken off by the end of the engine."""
    abandoned: int = 0
    """Broken off from outside: the client, the tunnel or the router is gone."""
    refused: int = 0
    """Answered with an error: the engine fails or drains, or the request makes no sense."""

    @property
    def received(self) -> int:
        """All of them."""
        return self.open + self.answered + self.cut + self.abandoned + self.refused


class Ledger:
    """The tallies of all engines of a world; they outlive their containers and hosts."""

    def __init__(self) -> None:
        self._tallies: list[Tally] = []

    def open(self, job_id: str, job_name: str, run_name: str) -> Tally:
        """Begins the tally of an engine."""
        tally = Tally(job_id, job_name, run_name)
        self._tallies.append(tally)
        return tally

    def tallies(self, text: str | None = None) -> list[Tally]:
        """The tallies in order of their start; with a text, those whose job or run it names."""
        return [
            tally
            for tally in self._tallies
            if text is None or text in (tally.job_id, tally.job_name, tally.run_name)
        ]


class OpenRequests:
    """The requests that an engine is answering, each in a task of its own."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._open: dict[asyncio.Task[object], web.BaseRequest] = {}
        self._none_open = asyncio.Event()
        self._none_open.set()
        self._closing = False

    async def answer(
        self, request: web.BaseRequest, answer: Callable[[], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Sends an answer and counts how that ends.

        Args:
            request: The request; its connection's loss must cancel the task that answers it.
            answer: Makes the answer, or sends it too.
        """
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = request
        self._tally.open += 1
        self._none_open.clear()
        try:
            response = await answer()
            await response.prepare(request)
            await response.write_eof()
        except web.HTTPException:
            self._tally.refused += 1
            raise
        except (asyncio.CancelledError, ConnectionError):
            if task in self._open:  # else the engine has cut it, and counted that
                self._tally.abandoned += 1
            raise
        else:
            self._tally.answered += 1
            return response
        finally:
            self._leave(task)
            if self._closing:
                request.protocol.close()

    def refuse(self) -> None:
        """Counts a request that gets an error."""
        self._tally.refused += 1

    def close_idle(self, server: web.Server) -> None:
        """Closes the connections without an open request, and the others after their answers."""
        self._closing = True
        busy = {request.protocol for request in self._open.values()}
        for connection in server.connections:
            if connection not in busy:
                connection.force_close()

    async def ended(self) -> None:
        """Waits until none is open."""
        await self._none_open.wait()

    def cut(self) -> None:
        """Breaks off all that are open."""
        for task, request in list(self._open.items()):
            self._tally.cut += 1
            self._leave(task)
            if request.transport is not None:
                request.transport.close()
            task.cancel()

    def _leave(self, task: asyncio.Task[object]) -> None:
        if self._open.pop(task, None) is not None:
            self._tally.open -= 1
        if not self._open:
            self._none_open.set()
