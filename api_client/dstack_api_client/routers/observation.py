"""One look at a router: what it said, or why it said nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from dstack_api_client.model.router import Source
from dstack_api_client.text import one_line
from dstack_api_client.transport import wire_addon

#: The label by which dstack knows its own workers again.
_JOB_LABEL = "dstack.ai/job-id"
#: Seconds between two syncs of the server, where it does not tell.
SYNC_INTERVAL = 5.0
#: A server reads no longer list of workers than this: its sync stops then.
MOST_SYNCED_BYTES = 2 * 1024 * 1024


class Outcome(str, Enum):
    """What came of looking at a router."""

    LISTED = "listed"
    DOWN = "down"
    """It was reached and does not answer, or there is nothing that could."""
    REFUSED = "refused"
    NOT_MANAGED = "not managed"
    UNKNOWN = "unknown"
    """It could not be reached, which says nothing about it."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of a router's list."""

    id: str
    url: str
    address: str
    """`host:port` of the address, without scheme and rank."""
    rank: str
    """Of a worker that is listed once per data-parallel rank; else empty."""
    job_id: str | None
    """The job that its label names."""
    health: str
    """pending, ready, not ready, failed or draining."""
    role: str | None
    load: int | None
    model: str | None


@dataclass(frozen=True, slots=True)
class Told:
    """What the server reports of a worker beyond what its API shows."""

    role: str | None
    url: str | None
    since: datetime | None
    """Since when its job runs."""
    probes_passed: bool | None


@dataclass(frozen=True)
class Look:
    """What came of one look.

    Attributes:
        source: Where it was looked from.
        outcome: What came of it.
        observed_at: When.
        message: What is wrong and what to do; empty when nothing is.
        workers: The router's list.
        ready: Whether it calls itself ready; None when it does not say.
        last_sync_at: When the server last synchronised it.
        sync_interval: Seconds between two syncs.
        told: What the server reports of workers, by job id.
        size: Bytes of the answer.
        seconds: How long it took.
    """

    source: Source
    outcome: Outcome
    observed_at: datetime
    message: str = ""
    workers: tuple[Listed, ...] = ()
    ready: bool | None = None
    last_sync_at: datetime | None = None
    sync_interval: float = SYNC_INTERVAL
    told: Mapping[str, Told] = field(default_factory=dict)
    size: int = 0
    seconds: float = 0.0


def listed(workers: Sequence[wire_addon.RouterWorker]) -> tuple[Listed, ...]:
    """The entries of a router's list, in its order."""
    return tuple(_listed(worker) for worker in workers)


def _listed(worker: wire_addon.RouterWorker) -> Listed:
    url = one_line(worker.url)
    address, rank = _parts(url)
    job = worker.labels.get(_JOB_LABEL) if worker.labels else None
    status = worker.status or ("ready" if worker.is_healthy else "not_ready")
    return Listed(
        id=worker.id or url,
        url=url,
        address=address,
        rank=rank,
        job_id=job if isinstance(job, str) and job else None,
        health=one_line(status).replace("_", " "),
        role=one_line(worker.worker_type) if worker.worker_type else None,
        load=worker.load,
        model=one_line(worker.model_id) if worker.model_id else None,
    )


def _parts(url: str) -> tuple[str, str]:
    """Host and port of a worker's address, and its rank."""
    address = url.partition("://")[2] or url
    address = address.partition("/")[0]
    host, mark, rank = address.rpartition("@")
    return (host, rank) if mark and rank.isdigit() else (address, "")


def of_server(answer: wire_addon.RouterLook) -> Look:
    """A look that the placement add-on of a server had."""
    outcomes = {
        "ok": Outcome.LISTED,
        "down": Outcome.DOWN,
        "no_answer": Outcome.DOWN,
        "refused": Outcome.REFUSED,
        "not_managed": Outcome.NOT_MANAGED,
    }
    return Look(
        source=Source.SERVER,
        outcome=outcomes.get(answer.status, Outcome.UNKNOWN),
        observed_at=answer.observed_at,
        message=one_line(answer.message or ""),
        workers=listed(answer.workers),
        ready=answer.ready,
        last_sync_at=answer.last_sync_at,
        sync_interval=answer.sync_interval or SYNC_INTERVAL,
        told={
            each.job_id: Told(
                role=one_line(each.role) if each.role else None,
                url=one_line(each.url) if each.url else None,
                since=each.since,
                probes_passed=each.probes_passed,
            )
            for each in answer.expected
        },
    )
