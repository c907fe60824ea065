"""Imported by a server's process: makes it one that has other things to do, and tells what it did.

With its usual workers, the server that was asked takes all replicas of a service at once and leaves
none to another, which looks every few seconds. What a killed one had in hand is free sooner, too.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from dstack._internal.server.background.pipeline_tasks.base import Fetcher, Pipeline
from dstack._internal.server.background.pipeline_tasks.jobs_submitted import JobSubmittedPipeline

from dstack_placement.server.assignment import choosing

_init = Pipeline.__init__
_use_fleet = choosing.use_fleet


def _with_few_workers(self: Any, **settings: Any) -> None:
    if isinstance(self, JobSubmittedPipeline):
        settings["workers_num"] = 6
    settings["lock_timeout"] = timedelta(seconds=20)
    settings["heartbeat_trigger"] = timedelta(seconds=10)
    _init(self, **settings)


def _use_fleet_and_tell(context: Any, fleet: Any, lanes: Any) -> None:
    choosing.logger.info("%s is assigned here", context.job_model.job_name)
    _use_fleet(context, fleet, lanes)


Pipeline.__init__ = _with_few_workers
Fetcher._DEFAULT_FETCH_DELAYS = [0.3]
choosing.use_fleet = _use_fleet_and_tell
