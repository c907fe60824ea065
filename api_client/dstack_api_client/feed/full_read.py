"""A pass over everything a project has, page by page, newest first."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime
from math import inf
from typing import Any, NamedTuple

from dstack_api_client import errors
from dstack_api_client.join.runs import run_name
from dstack_api_client.join.store import Known
from dstack_api_client.model.replica import FINISHED
from dstack_api_client.transport import wire
from dstack_api_client.transport.client import Client
from dstack_api_client.transport.records import Records
from dstack_api_client.transport.runs import is_uuid
from dstack_api_client.transport.transport import Meter

_MOST = 100
#: How many of the newest runs are looked at for those that ended, without their jobs.
_RECENT = 50
#: How many runs that ended are looked up one by one: those that just did, and those that failed.
_MOST_ENDED = 20


class PageCost(NamedTuple):
    """What a page should cost."""

    seconds: float
    """It takes at least this."""
    latencies: float
    """It takes at least so many times what the way to the server and back takes."""
    bytes: float = inf
    """It brings at most this, or a single item."""


#: When somebody waits for all pages: few enough to lose little on the way.
WAITED_FOR = PageCost(0.1, 10.0)
#: When nobody waits: short enough to hold up nothing, neither the server nor a slow line.
IN_BACKGROUND = PageCost(0.015, 1.0, 120_000)


class PageSize:
    """How many items to ask for, so that a page costs about the same everywhere.

    Args:
        first: Items of the first page, before it is known what one costs.
    """

    def __init__(self, first: int) -> None:
        self._first = first
        self._seconds: float | None = None
        self._bytes = 1.0

    def fitting(self, seconds: float, size: float) -> int:
        """How many items fit into a page that should take so long and bring so many bytes."""
        if self._seconds is None:
            return self._first
        items = min(seconds / self._seconds, size / self._bytes, float(_MOST))
        return max(1, round(items))

    def learn(self, items: int, seconds: float, size: int) -> None:
        """Takes what a page took, beyond what every request takes, and how many bytes it was."""
        if not items:
            return
        # Items differ: one that is larger counts at once, smaller ones over some pages.
        self._bytes = max(size / items, 0.8 * self._bytes)
        per_item = max(seconds / items, 1e-6)
        if self._seconds is None:
            self._seconds = per_item
        else:  # a server that paused for once should not make pages small
            self._seconds += (min(per_item, 2 * self._seconds) - self._seconds) / 3


class Sizes:
    """What fleets and runs were found to cost, kept from pass to pass."""

    def __init__(self) -> None:
        self.fleets = PageSize(5)
        self.runs = PageSize(10)


class Pass:
    """Reads everything once, one page at each step.

    Args:
        client: The client to read with.
        project: The project's name.
        known: Where the answers go.
        sizes: What fleets and runs cost.
        page_cost: What a page should cost.
        monotonic: A clock for durations.

    Attributes:
        steps: How many steps were made.
        seconds: What they took.
        bytes: What they brought.
    """

    def __init__(
        self,
        client: Client,
        project: str,
        known: Known,
        sizes: Sizes,
        *,
        page_cost: PageCost = WAITED_FOR,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._project = project
        self._known = known
        self._sizes = sizes
        self._page_cost = page_cost
        self._monotonic = monotonic
        self._fleets_before = set(known.fleets)
        self._runs_before = set(known.runs)
        self._after: tuple[datetime, str] | None = None
        self._least = 1
        self._with_jobs: dict[str, datetime] = {}
        self._failed: dict[str, datetime] = {}
        self._stages = [
            self._read_project,
            self._read_fleets,
            self._read_runs,
            self._read_recent,
            self._read_ended,
        ]
        known.touched.clear()
        self.steps = 0
        self.seconds = 0.0
        self.bytes = 0

    async def step(self) -> bool:
        """Reads the next page; after the last one, forgets what is not there any more.

        Returns:
            Whether that was the last one.
        """
        bytes_before, start = self._client.meter.bytes, self._monotonic()
        if await self._stages[0]():
            self._stages.pop(0)
            self._after, self._least = None, 1
        self.steps += 1
        self.seconds += self._monotonic() - start
        self.bytes += self._client.meter.bytes - bytes_before
        if not self._stages:
            self._forget_gone()
        return not self._stages

    async def _read_project(self) -> bool:
        self._known.put_project(await self._client.projects.get(self._project))
        return True

    async def _read_fleets(self) -> bool:
        limit = self._limit(self._sizes.fleets)
        before = replace(self._client.meter)
        page = await self._client.fleets.page(self._project, limit=limit, after=self._after)
        self._sizes.fleets.learn(len(page), *self._cost_since(before))
        for fleet in page:
            self._known.put_fleet(fleet)
        self._keep(page)
        last = (page[-1].created_at, page[-1].id) if page else None
        return self._was_last(page, last, limit, self._known.fleets)

    async def _read_runs(self) -> bool:
        limit = self._limit(self._sizes.runs)
        before = replace(self._client.meter)
        page = await self._client.runs.page(self._project, limit=limit, after=self._after)
        self._sizes.runs.learn(len(page), *self._cost_since(before))
        for run in page:
            self._known.put_run(run)
        self._keep(page)
        last = (page[-1].submitted_at, page[-1].id) if page else None
        return self._was_last(page, last, limit, self._known.runs)

    def _limit(self, size: PageSize) -> int:
        """How many items the next page has at most."""
        cost = self._page_cost
        seconds = max(cost.seconds, cost.latencies * self._client.meter.fastest)
        return max(size.fitting(seconds, cost.bytes), self._least)

    def _cost_since(self, before: Meter) -> tuple[float, int]:
        """Seconds of requests since then, less what the fastest of all took, and their bytes."""
        meter = self._client.meter
        seconds = max(meter.seconds - before.seconds - meter.fastest, 0.0)
        return seconds, meter.bytes - before.bytes

    async def _read_recent(self) -> bool:
        """Reads the newest runs without jobs, for those that ended; others need their jobs.

        So do runs that failed: only their jobs tell why. One of which there is a newer run is not
        asked about, and services are asked about first.
        """
        names: set[str] = set()
        failed: list[wire.Run] = []
        page = await self._client.runs.page(
            self._project, limit=_RECENT, only_active=False, jobs=False
        )
        for run in page:
            known = self._known.runs.get(run.id)
            if run.status in FINISHED and (known is None or known.status in FINISHED):
                self._known.put_run(run)
                name = run_name(run, run.read_spec)
                if run.status == "failed" and run.jobs is None and name not in names:
                    failed.append(run)
            elif run.id not in self._known.touched:
                self._with_jobs[run.id] = run.submitted_at
            names.add(run_name(run, run.read_spec))
        failed.sort(key=lambda run: run.read_spec.configuration.type != "service")
        self._failed |= {run.id: run.submitted_at for run in failed}
        self._keep(page)
        return True

    async def _read_ended(self) -> bool:
        """Reads the runs that ended since the last pass, or that began during this one."""
        for run in self._known.runs.values():
            is_old = run.id in self._runs_before and run.id not in self._known.touched
            # One whose id is not a UUID can't be asked for by itself: not listed, it is gone.
            if is_old and run.status not in FINISHED and is_uuid(run.id):
                self._with_jobs[run.id] = run.submitted_at
        wanted = {**self._with_jobs, **self._failed}
        for run_id, submitted_at in list(wanted.items())[:_MOST_ENDED]:
            try:
                found = await self._client.runs.now(self._project, run_id, submitted_at)
            except errors.WrongShapeError:
                self._known.touched.add(run_id)  # noted; what was known of it stays
                continue
            if found is not None:
                self._known.put_run(found)
        return True

    def _keep(self, page: Records[Any]) -> None:
        """Has what was known of records stay that can't be read now."""
        self._known.touched |= {each.name.id for each in page.unreadable}

    def _was_last(
        self,
        page: Records[Any],
        last: tuple[datetime, str] | None,
        limit: int,
        known: Collection[str],
    ) -> bool:
        """Whether the pages end here: not a full one, or the largest and no way on from it.

        Where the last record does not tell where the next page begins, or leads back, a larger
        page has another last one.
        """
        last = page.end or last
        if page.given < limit:
            return True
        after = self._after
        if last not in (None, after) and (after is None or last[0] <= after[0]):
            self._after, self._least = last, 1
            return False
        if limit < _MOST:
            self._least = min(2 * limit, _MOST)
            return False
        self._known.touched |= {*known}  # what comes after it can't be read: it stays as it was
        return True

    def _forget_gone(self) -> None:
        """Forgets what was known before and not seen since, but for runs known to have ended."""
        touched = self._known.touched
        self._client.unreadable.sweep()
        self._known.keep_only(
            [key for key in self._known.fleets if key in touched or key not in self._fleets_before],
            [
                run.id
                for run in self._known.runs.values()
                if run.id in touched or run.id not in self._runs_before or run.status in FINISHED
            ],
        )
