"""What the endpoint on a service's router gives."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, Literal

from dstack._internal.core.models.common import CoreModel

from dstack_placement.server.routers.router_looks import RouterStatus
from dstack_placement.server.routers.worker_commands import WorkerRole


class ExpectedWorker(CoreModel):
    """A worker replica that has not ended, as dstack has it.

    `url` is the address that dstack registers once the replica runs. `role` and `bootstrap_port`
    are what its command line says: dstack itself asks the worker when it registers it.
    """

    job_id: uuid.UUID
    replica_num: int
    group: str
    role: WorkerRole | None
    url: str | None
    bootstrap_port: int | None
    job_status: str
    since: datetime | None
    probes_passed: bool | None


class Router(CoreModel):
    """A service's router and its workers, as this server sees them.

    `workers` is the router's own list, untouched; `observed_at` is when it was read.
    """

    run_name: str
    router_type: Literal["smg", "dynamo"] | None
    router_replica: int | None
    router_job_status: str | None
    status: RouterStatus
    message: str | None
    observed_at: datetime
    last_sync_at: datetime | None
    sync_interval: float | None
    workers: list[dict[str, Any]]
    ready: bool | None
    expected: list[ExpectedWorker]
