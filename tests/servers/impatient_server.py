"""Imported by a server's process at the quick pace: what a killed server left is done sooner.

dstack's own locks expire 20 to 40 s after the last heartbeat of whoever took them. A server that is
killed after it gave a replica to its host, and before it noted that, leaves one that the host does
not take again: dstack 0.22.5 gives it up 10 minutes after it was submitted, and starts another.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from dstack._internal.server.background.pipeline_tasks import jobs_running, jobs_terminating
from dstack._internal.server.background.pipeline_tasks.base import Pipeline

from dstack_simulator.launch import pace

#: How long a lock outlives its owner, and what of it may pass before a living owner renews it: on a
#: busy machine a server comes to that seconds late, and two that lose their locks to each other all
#: the time do nothing.
_LOCKED, _HEARTBEAT = timedelta(seconds=10), timedelta(seconds=1)
_GIVEN_UP = timedelta(seconds=20)
#: Until a replica that is scaled down is ended.
_ENDED = timedelta(seconds=3)

_init = Pipeline.__init__


def _with_short_locks(self: Any, **settings: Any) -> None:
    settings["lock_timeout"] = _LOCKED
    settings["heartbeat_trigger"] = _LOCKED - _HEARTBEAT
    _init(self, **settings)


def _soon(**_: Any) -> timedelta:
    return _GIVEN_UP


Pipeline.__init__ = _with_short_locks
jobs_running.get_provisioning_timeout = _soon
pace._WAITS[jobs_terminating.__name__]["JOB_TERMINATION_DEADLINE"] = _ENDED
# Two servers look at a run twice as promptly, and each look counts as one at its replicas.
pace._LOOKS["RunPipeline"] = (2.0, 5.0)
