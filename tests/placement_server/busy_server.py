"""Imported by a server's process: makes it one that has other things to do.

With its usual workers, the server that was asked takes all replicas of a service at once and leaves
none to another, which looks every few seconds. What a killed one had in hand is free sooner, too.
And between its look at the replicas and its choice of a lane some time passes, in which servers
that did not wait for one another would choose by the same look.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from dstack._internal.server.background.pipeline_tasks.base import Fetcher, Pipeline
from dstack._internal.server.background.pipeline_tasks.jobs_submitted import JobSubmittedPipeline
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from dstack_placement.server import choosing

_original = Pipeline.__init__
_read_jobs = choosing.read_jobs


def _with_few_workers(self: Any, **settings: Any) -> None:
    if isinstance(self, JobSubmittedPipeline):
        settings["workers_num"] = 6
    settings["lock_timeout"] = timedelta(seconds=20)
    settings["heartbeat_trigger"] = timedelta(seconds=10)
    _original(self, **settings)


async def _read_and_pause(session: AsyncSession, run_id: uuid.UUID) -> Any:
    jobs = await _read_jobs(session, run_id)
    await session.execute(text("SELECT pg_sleep(0.03)"))
    return jobs


Pipeline.__init__ = _with_few_workers
Fetcher._DEFAULT_FETCH_DELAYS = [0.3]
choosing.read_jobs = _read_and_pause
