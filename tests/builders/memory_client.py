"""A client that answers from what a test puts in, page by page as a server does."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

from dstack_api_client import errors
from dstack_api_client.transport import wire
from dstack_api_client.transport.requests import PAGE

START = datetime(2026, 3, 14, 14, 0, 0, tzinfo=timezone.utc)


def event(number: int, message: str = "", /, **values: Any) -> wire.Event:
    """An event, one second after the one of the number before; of `job:chat-0-0` if not told."""
    targets = [
        wire.EventTarget(kind, f"{kind[0]}-{name}", name, "main")
        for kind, _, name in (each.partition(":") for each in values.get("about", ["job:chat-0-0"]))
    ]
    return wire.Event(
        id=values.get("id", f"{number:08d}"),
        message=message or f"event {number}",
        recorded_at=START + timedelta(seconds=values.get("seconds", number)),
        actor_user=values.get("actor"),
        targets=targets,
    )


class GivenClient:
    """Stands for `dstack_api_client.transport.client.Client` where only a few things are read."""

    def __init__(self) -> None:
        self.clock_offset: float | None = 0.0
        self.recorded: list[wire.Event] = []
        self.log: list[tuple[datetime, bytes]] = []
        self.logs_by: dict[str, list[tuple[datetime, bytes]]] = {}
        self.measured = wire.JobMetrics()
        self.known_runs: dict[str, wire.Run] = {}
        self.lent: dict[tuple[str, str], tuple[str, ...]] = {}
        self.asked: Counter[str] = Counter()
        self.filters: list[Mapping[str, Sequence[str]]] = []
        self.log_of: list[str] = []
        self.failure: errors.ApiError | None = None
        self.projects = SimpleNamespace(get=self._project)
        self.exports = SimpleNamespace(borrowers=self._borrowers)
        self.events = SimpleNamespace(newest=self._newest_events, since=self._events)
        self.runs = SimpleNamespace(get=self._run)
        self.metrics = SimpleNamespace(job=self._job_metrics)
        self.logs = SimpleNamespace(poll=self._logs)

    def _ask(self, what: str) -> None:
        self.asked[what] += 1
        if self.failure is not None:
            raise self.failure

    def _in_order(self) -> list[wire.Event]:
        """The newest first; of one moment by id upwards, as the server has it."""
        ordered = sorted(self.recorded, key=lambda each: each.id)
        return sorted(ordered, key=lambda each: each.recorded_at, reverse=True)

    async def _project(self, name: str) -> wire.Project:
        self._ask("project")
        return wire.Project(f"id-of-{name}", name)

    async def _borrowers(self, project: str, fleet_id: str) -> tuple[str, ...]:
        self._ask("borrowers")
        return self.lent.get((project, fleet_id), ())

    async def _newest_events(
        self,
        filters: Mapping[str, Sequence[str]],
        *,
        limit: int = PAGE,
        before: tuple[datetime, str] | None = None,
    ) -> list[wire.Event]:
        self._ask("newest_events")
        self.filters.append(filters)
        found = self._in_order()
        if before is not None:
            found = [
                each
                for each in found
                if each.recorded_at < before[0]
                or (each.recorded_at == before[0] and each.id > before[1])
            ]
        return found[:limit]

    async def _events(
        self, since: datetime, filters: Mapping[str, Sequence[str]]
    ) -> AsyncIterator[list[wire.Event]]:
        self.filters.append(filters)
        found = [each for each in reversed(self._in_order()) if each.recorded_at > since]
        for start in range(0, len(found) + 1, PAGE):
            self._ask("events")
            yield found[start : start + PAGE]

    async def _run(self, project: str, *, run_id: str) -> wire.Run:
        self._ask("run")
        if run_id not in self.known_runs:
            raise errors.NotFoundError("There is no such run.", "Look for another.")
        return self.known_runs[run_id]

    async def _job_metrics(self, project: str, run_name: str, **which: Any) -> wire.JobMetrics:
        self._ask("job_metrics")
        return self.measured

    def write(self, *lines: str, at: float = 0.0, by: str | None = None) -> None:
        """Adds lines to the output, all of one moment; of every job, or by one submission."""
        moment = START + timedelta(seconds=at)
        log = self.log if by is None else self.logs_by.setdefault(by, [])
        log += [(moment, line.encode() + b"\r\n") for line in lines]

    async def _logs(
        self,
        project: str,
        run_name: str,
        submission_id: str,
        *,
        start: datetime | None = None,
        descending: bool = False,
        limit: int = 100,
        next_token: str | None = None,
    ) -> wire.Logs:
        self._ask("logs")
        assert descending
        self.log_of.append(submission_id)
        written = self.logs_by.get(submission_id, self.log)
        found = [(at, text) for at, text in written if start is None or at > start]
        pieces = [
            wire.LogEvent(at, base64.b64encode(text).decode()) for at, text in reversed(found)
        ]
        end = int(next_token or 0) + limit
        more = str(end) if end < len(pieces) else None
        return wire.Logs(pieces[end - limit : end], more)


def submission(number: int, status: str = "failed", /, **values: Any) -> wire.JobSubmission:
    """One attempt at a job."""
    return wire.JobSubmission(
        **{
            "id": f"j-chat-0-{number}",
            "status": status,
            "submitted_at": START + timedelta(minutes=number),
            "submission_num": number,
            **values,
        }
    )


def run(*submissions: wire.JobSubmission, run_id: str = "s-chat") -> wire.Run:
    """A run with one job."""
    job = wire.Job(wire.JobSpec("chat-0-0"), list(submissions))
    return wire.Run(run_id, "running", START, wire.msgspec.Raw(b"{}"), jobs=[job])


def metrics(**series: list[float]) -> wire.JobMetrics:
    """Metrics by name, the oldest value first, one every ten seconds."""
    longest = max((len(values) for values in series.values()), default=0)
    times = [START - timedelta(seconds=10 * number) for number in range(longest)]
    return wire.JobMetrics(
        [wire.Metric(name, times[: len(values)], values[::-1]) for name, values in series.items()]
    )
