"""One replica closely: its history of submissions, what it makes use of, its last lines of output.

The feed reads of each job only the latest submission, and neither metrics nor logs. What is read
here is read for as long as somebody looks at that replica.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime

from dstack_api_client.attempts import Attempts, Failure
from dstack_api_client.clock import seconds_since, utc_now
from dstack_api_client.model.replica import (
    FINISHED,
    NO_CAPACITY,
    Replica,
    ReplicaKey,
)
from dstack_api_client.replica.logs import LogLine, LogTail
from dstack_api_client.replica.metrics import Use, metrics_of, use_of
from dstack_api_client.sentences import of_no_place
from dstack_api_client.text import one_line
from dstack_api_client.transport import wire
from dstack_api_client.transport.client import Client

#: Values of each metric that are read; the server takes one every ten seconds.
_VALUES = 60
#: Seconds after which metrics are read again.
_METRICS_EVERY = 10.0


@dataclass(frozen=True, slots=True)
class Submission:
    """One attempt at a replica."""

    id: str
    num: int
    deployment_num: int
    status: str
    submitted_at: datetime
    finished_at: datetime | None
    hostname: str | None
    backend: str | None
    region: str | None
    instance_type: str | None
    price: float | None
    exit_status: int | None
    termination_reason: str | None
    message: str

    @property
    def active(self) -> bool:
        """Whether it has not ended."""
        return self.status not in FINISHED


@dataclass(frozen=True)
class History:
    """The submissions of a replica."""

    submissions: tuple[Submission, ...] = ()
    """The newest first."""
    read_at: datetime | None = None
    failure: Failure | None = None


@dataclass(frozen=True)
class Metrics:
    """What a replica makes use of."""

    use: Use | None = None
    read_at: datetime | None = None
    failure: Failure | None = None


@dataclass(frozen=True)
class Output:
    """The last lines of one submission."""

    submission_id: str = ""
    lines: tuple[LogLine, ...] = ()
    """The oldest first."""
    read_at: datetime | None = None
    failure: Failure | None = None


@dataclass(frozen=True)
class Closely:
    """What is known of a replica that is looked at closely."""

    history: History = field(default_factory=History)
    metrics: Metrics = field(default_factory=Metrics)
    output: Output = field(default_factory=Output)


class ReplicaWatch:
    """Follows one replica. To be polled by one task at a time.

    Args:
        client: The client to read with.
        project: The project's name.
        key: The replica.
        now: The clock.
    """

    def __init__(
        self,
        client: Client,
        project: str,
        key: ReplicaKey,
        *,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.state = Closely()
        self._client = client
        self._project = project
        self._key = key
        self._now = now
        self._replica: Replica | None = None
        self._chosen: str | None = None
        self._seen: tuple[str, str] | None = None
        self._tail: LogTail | None = None
        self._attempts = {name: Attempts(now) for name in ("history", "metrics", "output")}

    def follow(self, replica: Replica) -> None:
        """Tells how the replica is now, as the snapshot has it."""
        if self._replica is None or self._replica.submission_id != replica.submission_id:
            self._chosen = None
        self._replica = replica

    def show_output_of(self, submission_id: str | None) -> None:
        """Chooses the submission whose output is read; the latest for None."""
        self._chosen = submission_id

    async def poll(self, *, full: bool = False) -> AsyncIterator[Closely]:
        """Reads what may have changed.

        Args:
            full: Whether everything is read again.

        Yields:
            What is known after each read; failures are said in it.
        """
        replica = self._replica
        if replica is None:
            return
        yield await self._read_output(replica)
        if full or self._are_metrics_due(replica):
            yield await self._read_metrics(replica)
        seen = (replica.submission_id, replica.status)
        if full or seen != self._seen or self.state.history.failure is not None:
            yield await self._read_history(replica)
            self._seen = seen

    # Output

    async def _read_output(self, replica: Replica) -> Closely:
        submission = self._chosen or replica.submission_id
        if self._tail is None or self._tail.submission_id != submission:
            self._tail = LogTail(self._client, self._project, replica.run_name, submission)
        attempts = self._attempts["output"]
        changed = await attempts.of(self._tail.read())
        known = self.state.output
        lines = self._tail.lines if changed or submission != known.submission_id else known.lines
        output = Output(submission, lines, attempts.read_at, attempts.failure)
        return self._now_with(output=output)

    # Metrics

    def _are_metrics_due(self, replica: Replica) -> bool:
        metrics = self.state.metrics
        if metrics.read_at is None or metrics.failure is not None:
            return True
        over = replica.status in FINISHED and metrics.use is not None
        return not over and seconds_since(metrics.read_at, self._now()) >= _METRICS_EVERY

    async def _read_metrics(self, replica: Replica) -> Closely:
        attempts = self._attempts["metrics"]
        answer = await attempts.of(
            metrics_of(self._client, self._project, replica.run_name, self._key, limit=_VALUES)
        )
        use = self.state.metrics.use if answer is None else use_of(answer)
        return self._now_with(metrics=Metrics(use, attempts.read_at, attempts.failure))

    # History

    async def _read_history(self, replica: Replica) -> Closely:
        attempts = self._attempts["history"]
        # A run with all its submissions is large, so it is read when one of this replica's changed.
        run = await attempts.of(self._client.runs.get(self._project, run_id=self._key.run_id))
        known = self.state.history.submissions
        submissions = known if run is None else _submissions(run, self._key)
        return self._now_with(history=History(submissions, attempts.read_at, attempts.failure))

    def _now_with(
        self,
        *,
        history: History | None = None,
        metrics: Metrics | None = None,
        output: Output | None = None,
    ) -> Closely:
        state = self.state
        self.state = Closely(
            history or state.history, metrics or state.metrics, output or state.output
        )
        return self.state


def _submissions(run: wire.Run, key: ReplicaKey) -> tuple[Submission, ...]:
    found = [
        _submission(each)
        for job in run.jobs or ()
        if (job.job_spec.replica_num, job.job_spec.job_num) == (key.replica_num, key.job_num)
        for each in job.job_submissions or ()
    ]
    return tuple(sorted(found, key=lambda each: (each.submitted_at, each.num), reverse=True))


def _submission(each: wire.JobSubmission) -> Submission:
    data = each.job_provisioning_data
    kind = data.instance_type if data else None
    told = (each.termination_reason_message, each.error, each.status_message)
    reason = each.termination_reason
    message = next((text for text in told if text and text != each.status), None)
    if reason == NO_CAPACITY:
        message = of_no_place(each.termination_reason_message or each.error)
    return Submission(
        id=each.id,
        num=each.submission_num,
        deployment_num=each.deployment_num or 0,
        status=each.status,
        submitted_at=each.submitted_at,
        finished_at=each.finished_at,
        hostname=one_line(data.hostname) if data and data.hostname else None,
        backend=one_line(data.backend) if data and data.backend else None,
        region=one_line(data.region) if data and data.region else None,
        instance_type=one_line(kind.name) if kind else None,
        price=data.price if data else None,
        exit_status=each.exit_status,
        termination_reason=reason,
        message=one_line(message or (reason or "").replace("_", " ")),
    )
