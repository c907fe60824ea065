"""A server at a quick pace: dstack's own code, which looks at what it works on more often.

dstack's pipelines come to a thing every 2 to 30 s, and its schedules run every 3 to 15 s: most of
what a test or a demo waits for is that. `quicken` shortens these intervals in the process that it
is called in, and nothing else: what a look does, its locks and their time limits stay.
"""

from __future__ import annotations

import functools
import importlib
from datetime import timedelta
from typing import Any

from dstack_simulator.launch import fetches

_BACKGROUND = "dstack._internal.server.background"

#: By pipeline, seconds between two looks at what is on its way and at what stands still: a quick
#: look at what stands still costs a server with many replicas all of a core. A look at a run counts
#: as one at its jobs, and one at a fleet as one at its instances, so neither may be more frequent.
_LOOKS: dict[str, tuple[float, float]] = {
    "FleetPipeline": (8.0, 8.0),
    "GatewayPipeline": (1.0, 15.0),
    "GatewayReplicaPipeline": (1.0, 15.0),
    "InstancePipeline": (1.0, 8.0),
    "JobRunningPipeline": (0.7, 8.0),
    "JobSubmittedPipeline": (1.0, 1.0),
    "JobTerminatingPipeline": (0.5, 1.0),
    "RunPipeline": (0.7, 8.0),
    "ServiceRouterWorkerSyncPipeline": (2.5, 2.5),
}
#: By kind of database, seconds until a pipeline that found nothing looks for work again, longer
#: each time where that costs much.
_FETCH_DELAYS = {"sqlite": [0.3], "postgresql": [0.3, 0.6, 1.2]}
_QUEUE_CHECK_DELAY = 0.5
#: They look for what an emulated cloud does not have, as seldom as dstack does.
_WITHOUT_WORK = ("ComputeGroupFetcher", "PlacementGroupFetcher", "VolumeFetcher")
#: What is scheduled every few seconds runs so many times as often.
_SCHEDULES, _SHORT = 2, 60.0
#: Waits after failures, by module and name.
_WAITS: dict[str, dict[str, Any]] = {
    f"{_BACKGROUND}.pipeline_tasks.jobs_running": {
        "JOB_DISCONNECTED_RETRY_TIMEOUT": timedelta(seconds=20)
    },
    # A replica that is scaled down goes on until then. It is longer than a runner gives a process
    # that it asks to end, 10 s, so that its output is still read.
    f"{_BACKGROUND}.pipeline_tasks.jobs_terminating": {
        "JOB_TERMINATION_DEADLINE": timedelta(seconds=12)
    },
    f"{_BACKGROUND}.pipeline_tasks.runs.pending": {
        "_PENDING_RETRY_DELAYS": [timedelta(seconds=seconds) for seconds in (3, 6, 12, 24, 60)]
    },
}


class _Looks(timedelta):
    """An interval that, taken twice, is that of what stands still: so dstack uses it."""

    still: timedelta

    def __mul__(self, times: float) -> timedelta:
        return self.still * times / 2


def quicken() -> None:
    """Shortens the intervals of the dstack server in this process, before it starts.

    Raises:
        AttributeError: This dstack has other names for them.
    """
    base = importlib.import_module(f"{_BACKGROUND}.pipeline_tasks.base")
    scheduled = importlib.import_module(f"{_BACKGROUND}.scheduled_tasks")
    _wrap_init(base.Pipeline, _with_quick_looks)
    _wrap_init(base.Fetcher, _with_quick_fetches)
    _replace(scheduled, "IntervalTrigger", _quick_trigger(scheduled.IntervalTrigger))
    for module, waits in _WAITS.items():
        for name, wait in waits.items():
            _replace(importlib.import_module(module), name, wait)


def _with_quick_looks(pipeline: Any, settings: dict[str, Any]) -> None:
    looks = _LOOKS.get(type(pipeline).__name__)
    if looks is None:
        return
    moving, still = looks
    interval = _Looks(seconds=moving)
    interval.still = timedelta(seconds=still)
    settings["min_processing_interval"] = interval


def _with_quick_fetches(fetcher: Any, settings: dict[str, Any]) -> None:
    fetches.spare(fetcher)
    settings["queue_check_delay"] = _QUEUE_CHECK_DELAY
    if type(fetcher).__name__ not in _WITHOUT_WORK:
        db = importlib.import_module("dstack._internal.server.db")
        settings["fetch_delays"] = _FETCH_DELAYS[db.get_db().dialect_name]


def _quick_trigger(original: Any) -> Any:
    def trigger(*, seconds: float = 0, **more: Any) -> Any:
        if 0 < seconds < _SHORT:
            seconds = seconds / _SCHEDULES
            more = {
                name: value / _SCHEDULES if name == "jitter" else value
                for name, value in more.items()
            }
        return original(seconds=seconds, **more)

    return trigger


def _wrap_init(kind: Any, change: Any) -> None:
    original = kind.__init__

    @functools.wraps(original)
    def init(self: Any, *arguments: Any, **settings: Any) -> None:
        change(self, settings)
        original(self, *arguments, **settings)

    kind.__init__ = init


def _replace(owner: Any, name: str, value: Any) -> None:
    getattr(owner, name)
    setattr(owner, name, value)
