"""Requests that this server's proxy has open to replicas, counted from their first to last byte."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from typing import Any

from dstack._internal.proxy.lib.models import Service

#: The replicas that the request of this task was given to; None outside of requests.
_given: ContextVar[list[uuid.UUID] | None] = ContextVar("replicas_of_a_request", default=None)
#: How many requests are open to each replica, by its job.
_open: Counter[uuid.UUID] = Counter()

_App = Callable[[Any, Any, Any], Awaitable[None]]


class CountedRequests:
    """An ASGI middleware around all of dstack's: a request is open until its answer is sent."""

    def __init__(self, app: _App) -> None:
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Takes one request, or what is none."""
        given: list[uuid.UUID] = []
        token = _given.set(given)
        try:
            await self._app(scope, receive, send)
        finally:
            _given.reset(token)
            for job_id in given:
                _open[job_id] -= 1
                if not _open[job_id]:
                    del _open[job_id]


def with_one_replica(service: Service) -> Service:
    """The service with the replica that a request is given to, which is counted from now on.

    dstack's proxy chooses by chance too. A tunnel that has to be opened first takes seconds.
    """
    given = _given.get()
    if given is None or service.domain is not None:
        return service
    replica = random.choice(service.replicas)
    job_id = uuid.UUID(replica.id)
    given.append(job_id)
    _open[job_id] += 1
    return service.with_replicas((replica,))


def open_to(job_id: uuid.UUID) -> int:
    """How many requests this server has open to a replica."""
    return _open[job_id]


def all_open() -> dict[uuid.UUID, int]:
    """How many requests this server has open, by the replicas' jobs."""
    return dict(_open)
