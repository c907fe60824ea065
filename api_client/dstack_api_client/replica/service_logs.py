"""What all replicas of a service write, or all jobs of another run, in the order of time.

Each replica has a tail of its own; what they bring is put in order in one list of a bounded length.
A server gives the output of one job per answer, so only some replicas are read at each poll, those
that were not read for longest: a service of hundreds costs the server no more than one of few.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter

from dstack_api_client.attempts import Attempts, Failure
from dstack_api_client.model.labels import replica_name
from dstack_api_client.model.replica import STARTING, Replica
from dstack_api_client.replica.logs import LogLine, LogTail
from dstack_api_client.transport.client import Client

#: Most lines that are kept of a service.
KEPT_OF_SERVICE = 20_000
#: Pieces of output in one answer: the most that a server gives.
_PAGE = 1000
#: Replicas that are read at each poll, and how many of them at once.
_AT_A_POLL, _AT_ONCE = 32, 4

_AT = attrgetter("at")


@dataclass(frozen=True, slots=True)
class Writer:
    """One submission of a replica, which writes.

    Attributes:
        name: What the replica is called within its service.
        run_name: The service.
        submission_id: The submission.
        ended: Whether it writes no more.
    """

    name: str
    run_name: str
    submission_id: str
    ended: bool = False


@dataclass(frozen=True)
class ServiceOutput:
    """What is known of the output of a service.

    Attributes:
        lines: The oldest first; the same list as before where the poll brought none.
        changed_from: Where it is another list: lines of before this moment are as they were.
        added: The lines that the poll brought, in the order of time.
        replaced: Lines of before that were not finished, and are among those by now.
        unfinished: Lines of which more may come.
        dropped: How many older lines were read and are not kept.
        unread: Replicas that were not read yet.
        read_at: When some were last read; None if never.
        failure: Why those that could not be read could not.
        failed: How many those are.
    """

    lines: Sequence[LogLine] = ()
    changed_from: datetime | None = None
    added: Sequence[LogLine] = ()
    replaced: Sequence[LogLine] = ()
    unfinished: Sequence[LogLine] = ()
    dropped: int = 0
    unread: int = 0
    read_at: datetime | None = None
    failure: Failure | None = None
    failed: int = 0


def writer_name(replica: Replica) -> str:
    """What a replica is called within its service; a job of another run, by its node."""
    return replica_name(replica) if replica.run_type == "service" else f"node {replica.key.job_num}"


def writers(replicas: Sequence[Replica]) -> tuple[Writer, ...]:
    """The submissions of replicas that may have written something."""
    return tuple(
        Writer(writer_name(each), each.run_name, each.submission_id, not each.active)
        for each in replicas
        if each.status not in STARTING
    )


class _Followed:
    """One writer with its tail."""

    def __init__(self, writer: Writer, tail: LogTail, attempts: Attempts) -> None:
        self.writer = writer
        self.tail = tail
        self.attempts = attempts
        self.turn = -1
        """The poll that read it last."""
        self.is_done = False
        """Whether it was read after its end."""

    async def read(self) -> None:
        ended = self.writer.ended
        self.tail.added, self.tail.replaced = [], None
        read = await self.attempts.of(self.tail.read())
        self.is_done = ended and read is not None


class ServiceLogs:
    """Follows the output of replicas. To be polled by one task at a time.

    Args:
        client: The client to read with.
        project: The project's name.
        back: How far the first look goes back; to the start for None.
        kept: Most lines that are kept.
        now: The clock of the server.
    """

    def __init__(
        self,
        client: Client,
        project: str,
        *,
        back: timedelta | None = None,
        kept: int = KEPT_OF_SERVICE,
        now: Callable[[], datetime],
    ) -> None:
        self.state = ServiceOutput()
        self._client = client
        self._project = project
        self._since = now() - back if back is not None else None
        self._kept = kept
        self._now = now
        self._followed: dict[str, _Followed] = {}
        self._turn = 0

    def follow(self, writers: Sequence[Writer]) -> None:
        """Says who writes now; what those wrote who are not among them stays."""
        pages = max(1, self._kept // _PAGE // max(1, len(writers)))
        followed: dict[str, _Followed] = {}
        for writer in writers:
            known = self._followed.get(writer.submission_id)
            if known is None:
                known = _Followed(writer, self._tail(writer, pages), Attempts(self._now))
            known.writer = writer
            followed[writer.submission_id] = known
        for key, gone in self._followed.items():
            # What it wrote at the end is read once more.
            if key not in followed and not gone.is_done and gone.turn >= 0:
                gone.writer = Writer(gone.writer.name, gone.writer.run_name, key, ended=True)
                followed[key] = gone
        self._followed = followed

    def _tail(self, writer: Writer, pages: int) -> LogTail:
        return LogTail(
            self._client,
            self._project,
            writer.run_name,
            writer.submission_id,
            name=writer.name,
            since=self._since,
            page=_PAGE,
            pages=pages,
            kept=1,
        )

    async def poll(self, *, full: bool = False) -> AsyncIterator[ServiceOutput]:
        """Reads those who were not read for longest.

        Args:
            full: Whether those that could not be read before their end are tried again.

        Yields:
            What is known then; failures are said in it.
        """
        due = [each for each in self._followed.values() if full or not each.is_done]
        due.sort(key=lambda each: each.turn)
        self._turn += 1
        for start in range(0, min(len(due), _AT_A_POLL), _AT_ONCE):
            some = due[start : start + _AT_ONCE]
            await asyncio.gather(*(each.read() for each in some))
            for each in some:
                each.turn = self._turn
        yield self._put_in_order(due[:_AT_A_POLL])

    def _put_in_order(self, read: Sequence[_Followed]) -> ServiceOutput:
        every = self._followed.values()
        # Sorting is stable: lines of one replica at one moment stay in their order.
        added = sorted((line for each in read for line in each.tail.added), key=_AT)
        begun = [each.tail.replaced for each in read if each.tail.replaced is not None]
        replaced = set(map(id, begun))
        lines, dropped, changed_from = self.state.lines, self.state.dropped, None
        if added:
            # A line that replaces an unfinished one is no older than that.
            changed_from = min(map(_AT, (*added, *begun)))
            kept_from = bisect_left(lines, changed_from, key=_AT)
            newer = [line for line in lines[kept_from:] if id(line) not in replaced]
            lines = [*lines[:kept_from], *sorted((*newer, *added), key=_AT)]
            over = len(lines) - self._kept
            if over > 0:
                lines, dropped = lines[over:], dropped + over
        failures = [each.attempts.failure for each in every if each.attempts.failure is not None]
        reads = [each.attempts.read_at for each in every if each.attempts.read_at is not None]
        self.state = ServiceOutput(
            lines,
            changed_from,
            added,
            begun,
            [
                each.tail.unfinished
                for each in every
                if not each.is_done and each.tail.unfinished is not None
            ],
            dropped,
            sum(each.turn < 0 for each in every),
            max(reads, default=self.state.read_at),
            failures[0] if failures else None,
            len(failures),
        )
        return self.state
