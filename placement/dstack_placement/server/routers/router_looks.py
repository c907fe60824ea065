"""Looking at what a router itself says, through tunnels such as dstack's own sync opens."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

import httpx
from dstack._internal.core.errors import SSHError
from dstack._internal.server.models import JobModel
from dstack._internal.server.services.runs.router_worker_sync import (
    _ROUTER_BASE_URL,
    _ROUTER_MAX_WORKERS_RESPONSE_BYTES,
    _remove_worker_from_router,
    _request_json_limited,
    _ResponseTooLargeError,
)
from dstack._internal.utils.common import get_current_datetime

from dstack_placement.server.routers.replica_tunnels import ReplicaTunnels

#: Seconds for which one look answers all who ask.
KEPT = 1.0
#: Seconds that somebody who asks waits at most.
LIMIT = 5.0
#: Seconds for one request to the router, once the tunnel is open.
_REQUEST = 4.0
#: Routers of a project that are asked at once, as each is an SSH connection of this server; ...
_AT_ONCE = 8
#: ... and those among them that did not answer before, which are not to keep the others waiting.
_SILENT_AT_ONCE = 2
#: Seconds after which one that does not answer leaves its place to the next, and is still asked.
_SLOW = 2.0
#: Seconds that a router which can't be reached is left alone at most, twice as long each time.
_LONGEST_PAUSE = 60.0
_MAX_READINESS_BYTES = 64 * 1024
#: Under which dstack registers a worker's job.
_JOB_LABEL = "dstack.ai/job-id"


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


def job_of(worker: Mapping[str, Any]) -> str:
    """The id of the job that a worker of a router's list is; empty for a foreign one."""
    return str((worker.get("labels") or {}).get(_JOB_LABEL) or "")


@dataclass(slots=True)
class _Asking:
    """One look that is under way or answers still.

    Attributes:
        begun: When somebody wanted it.
        sent: Whether the router is being asked, or its turn has not come.
    """

    begun: float
    sent: bool = False


@dataclass(frozen=True, slots=True)
class _Silence:
    """A router that can't be reached.

    Attributes:
        look: What came of the last attempt.
        times: How often it failed.
        until: When it is tried again.
    """

    look: Look
    times: int
    until: float


class RouterLooks:
    """Looks at routers, at most one at a time at each, however many ask.

    Each project has places of its own, and a router that can't be reached is asked less and less.
    """

    def __init__(self) -> None:
        self._begun: dict[uuid.UUID, tuple[asyncio.Task[Look], _Asking]] = {}
        self._silent: dict[uuid.UUID, _Silence] = {}
        self._tunnels = ReplicaTunnels()
        self._places: WeakValueDictionary[tuple[uuid.UUID, bool], asyncio.Semaphore] = (
            WeakValueDictionary()
        )

    async def look(self, job_model: JobModel) -> Look:
        """Asks a router, or gives the answer that somebody else just got.

        Args:
            job_model: The router's running job, with its project, its instance and that one's
                project loaded.
        """
        now = _now()
        self._forget(now)
        if job_model.id not in self._begun:
            silence = self._silent.get(job_model.id)
            if silence is not None and now < silence.until:
                return silence.look
            asking = _Asking(now)
            self._begun[job_model.id] = (asyncio.create_task(self._ask(job_model, asking)), asking)
        task, asking = self._begun[job_model.id]
        try:
            # The look itself goes on, for who asks next.
            return await asyncio.wait_for(asyncio.shield(task), LIMIT)
        except asyncio.TimeoutError:
            if not asking.sent:
                return _not_asked()
            return _no_answer(f"The router did not answer within {LIMIT:g} s.")

    async def remove(self, job_model: JobModel, worker: str) -> None:
        """Asks a router to give no more requests to a worker, and to drop it from its list.

        Args:
            job_model: The router's job, as for `look`.
            worker: The worker's id in the list.
        """
        removal = partial(_remove_worker_from_router, log_prefix="Drain", worker_id=worker)
        with contextlib.suppress(SSHError, httpx.HTTPError, asyncio.TimeoutError):
            # What did not succeed is seen at the next look.
            await asyncio.wait_for(self._tunnels.ask(job_model, removal), LIMIT)

    def _forget(self, now: float) -> None:
        self._begun = {
            job: (task, asking)
            for job, (task, asking) in self._begun.items()
            if not task.done() or now - asking.begun < KEPT
        }
        self._silent = {
            job: silence
            for job, silence in self._silent.items()
            if now < silence.until + 10 * _LONGEST_PAUSE
        }

    async def _ask(self, job_model: JobModel, asking: _Asking) -> Look:
        is_silent = job_model.id in self._silent
        places = self._places.setdefault(
            (job_model.project_id, is_silent),
            asyncio.Semaphore(_SILENT_AT_ONCE if is_silent else _AT_ONCE),
        )
        async with places:
            asking.sent = True
            look = asyncio.create_task(self._reach(job_model))
            await asyncio.wait({look}, timeout=_SLOW)
        return await look

    async def _reach(self, job_model: JobModel) -> Look:
        try:
            look = await self._tunnels.ask(job_model, _ask_router)
        except SSHError as error:
            return self._failed(job_model, f"The router's host can't be reached over SSH: {error}.")
        except (httpx.HTTPError, _ResponseTooLargeError) as error:
            return self._failed(job_model, _not_answered(error))
        self._silent.pop(job_model.id, None)
        return look

    def _failed(self, job_model: JobModel, message: str) -> Look:
        look = _no_answer(message)
        before = self._silent.get(job_model.id)
        times = before.times + 1 if before is not None else 1
        pause = min(KEPT * 2 ** min(times, 10), _LONGEST_PAUSE)
        self._silent[job_model.id] = _Silence(look, times, _now() + pause)
        return look


def _now() -> float:
    return asyncio.get_running_loop().time()


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


def _not_asked() -> Look:
    return Look(
        RouterStatus.NO_ANSWER,
        "The server has not asked the router yet: it waits for other routers of the project that"
        " do not answer. Check those first.",
        get_current_datetime(),
    )


def _not_answered(error: Exception) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "The router took too long to answer."
    return f"The router did not answer: {str(error) or type(error).__name__}."
