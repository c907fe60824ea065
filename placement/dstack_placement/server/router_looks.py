"""Looking at what a router itself says, through the tunnel that dstack's own sync uses."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

import httpx
from dstack._internal.core.errors import SSHError
from dstack._internal.server.models import JobModel
from dstack._internal.server.services.jobs.job_replica_http_client import (
    get_service_replica_client,
)
from dstack._internal.server.services.runs.router_worker_sync import (
    _ROUTER_BASE_URL,
    _ROUTER_MAX_WORKERS_RESPONSE_BYTES,
    _request_json_limited,
    _ResponseTooLargeError,
)
from dstack._internal.utils.common import get_current_datetime

#: Seconds for which one look answers all who ask.
KEPT = 1.0
#: Seconds that somebody who asks waits at most.
LIMIT = 5.0
#: Seconds for one request to the router, once the tunnel is open.
_REQUEST = 4.0
#: Looks under way at once, as each is an SSH connection of this server.
_AT_ONCE = 8
_MAX_READINESS_BYTES = 64 * 1024


class RouterStatus(str, Enum):
    """What came of looking at a router."""

    OK = "ok"
    DOWN = "down"  # its job does not run
    NO_ANSWER = "no_answer"
    REFUSED = "refused"  # it asks for an API key
    NOT_MANAGED = "not_managed"  # it finds its workers itself
    NO_ROUTER = "no_router"


@dataclass(frozen=True, slots=True)
class Look:
    """What a router said.

    Attributes:
        status: What came of it.
        message: What is wrong and what to do; None when nothing is.
        observed_at: When it was said.
        workers: The router's own list, untouched.
        ready: Whether it calls itself ready; None when it does not say.
    """

    status: RouterStatus
    message: str | None
    observed_at: datetime
    workers: tuple[dict[str, Any], ...] = ()
    ready: bool | None = None


class RouterLooks:
    """Looks at routers, at most one at a time at each, however many ask."""

    def __init__(self) -> None:
        self._begun: dict[uuid.UUID, tuple[asyncio.Task[Look], float]] = {}
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def look(self, job_model: JobModel) -> Look:
        """Asks a router, or gives the answer that somebody else just got.

        Args:
            job_model: The router's running job, with its project, its instance and that one's
                project loaded.
        """
        now = asyncio.get_running_loop().time()
        self._begun = {
            job: (task, begun)
            for job, (task, begun) in self._begun.items()
            if not task.done() or now - begun < KEPT
        }
        if job_model.id not in self._begun:
            self._begun[job_model.id] = (asyncio.create_task(self._ask(job_model)), now)
        task, _ = self._begun[job_model.id]
        try:
            # The look itself goes on, so that its tunnel is closed in order.
            return await asyncio.wait_for(asyncio.shield(task), LIMIT)
        except asyncio.TimeoutError:
            return _no_answer(f"The router did not answer within {LIMIT:g} s.")

    async def _ask(self, job_model: JobModel) -> Look:
        async with self._places:
            try:
                async with get_service_replica_client(job_model) as client:
                    return await _ask_router(client)
            except SSHError as error:
                return _no_answer(f"The router's host can't be reached over SSH: {error}.")
            except (httpx.HTTPError, _ResponseTooLargeError) as error:
                return _no_answer(f"The router did not answer: {error!r}.")


#: The looks of this server.
router_looks = RouterLooks()


async def _ask_router(client: httpx.AsyncClient) -> Look:
    status, body = await _request_json_limited(
        client,
        "GET",
        f"{_ROUTER_BASE_URL}/workers",
        max_response_bytes=_ROUTER_MAX_WORKERS_RESPONSE_BYTES,
        timeout=_REQUEST,
    )
    if status in (401, 403):
        return Look(
            RouterStatus.REFUSED,
            f"The router refuses to list its workers ({status}), so dstack registers none. Start"
            " it without an API key.",
            get_current_datetime(),
        )
    workers = _workers(body) if status == 200 else None
    if workers is None:
        return _no_answer(f"The router answered {status} without a list of workers.")
    observed_at = get_current_datetime()
    return Look(RouterStatus.OK, None, observed_at, tuple(workers), await _readiness(client))


async def _readiness(client: httpx.AsyncClient) -> bool | None:
    try:
        status, _ = await _request_json_limited(
            client,
            "GET",
            f"{_ROUTER_BASE_URL}/readiness",
            max_response_bytes=_MAX_READINESS_BYTES,
            timeout=_REQUEST,
        )
    except (httpx.HTTPError, _ResponseTooLargeError):
        # The list stands without it.
        return None
    return {200: True, 503: False}.get(status)


def _workers(body: bytes) -> list[dict[str, Any]] | None:
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    workers = answer.get("workers") if isinstance(answer, dict) else None
    if not isinstance(workers, list) or not all(isinstance(worker, dict) for worker in workers):
        return None
    return workers


def _no_answer(message: str) -> Look:
    return Look(
        RouterStatus.NO_ANSWER,
        f"{message} Look at the logs of its replica.",
        get_current_datetime(),
    )
