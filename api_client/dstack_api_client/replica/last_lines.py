"""The last lines of one replica at a time, such as of the one that a row is about."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from dstack_api_client.attempts import Attempts, Failure
from dstack_api_client.replica.logs import LogLine, LogTail
from dstack_api_client.replica.service_logs import Writer
from dstack_api_client.transport.client import Client

#: Lines that are kept, and pieces of output that are read for them: one may be a part of a line.
_KEPT, _PIECES = 5, 10
#: Seconds after which the lines of the same replica are read again.
_AGAIN = 15.0


@dataclass(frozen=True)
class LastLines:
    """What a replica wrote last.

    Attributes:
        writer: The replica.
        lines: Its last lines, the oldest first.
        failure: Why they can't be read.
    """

    writer: Writer
    lines: Sequence[LogLine] = ()
    failure: Failure | None = None


class LastLinesWatch:
    """Reads what one replica wrote last. To be polled by one task at a time.

    Args:
        client: The client to read with.
        project: The project's name.
        now: The clock.
    """

    def __init__(self, client: Client, project: str, *, now: Callable[[], datetime]) -> None:
        self._client = client
        self._project = project
        self._now = now
        self._writer: Writer | None = None
        self._attempts = Attempts(now)
        self._read_at: datetime | None = None

    def follow(self, writer: Writer | None) -> bool:
        """Says whose lines are wanted, if any are.

        Returns:
            Whether they have to be read first.
        """
        if writer == self._writer:
            return False
        self._writer, self._read_at = writer, None
        self._attempts = Attempts(self._now)
        return writer is not None

    async def poll(self, *, full: bool = False) -> AsyncIterator[LastLines]:
        """Reads them where they are another's than before, or were read a while ago.

        Args:
            full: Whether they are read in any case.

        Yields:
            What is known then.
        """
        writer, attempts, now = self._writer, self._attempts, self._now()
        is_new = self._read_at is None or (now - self._read_at).total_seconds() >= _AGAIN
        if writer is None or not (full or is_new):
            return
        self._read_at = now
        tail = LogTail(
            self._client,
            self._project,
            writer.run_name,
            writer.submission_id,
            name=writer.name,
            page=_PIECES,
            kept=_KEPT,
        )
        await attempts.of(tail.read())
        # Meanwhile another one may be asked for.
        if writer == self._writer:
            yield LastLines(writer, tail.lines, attempts.failure)
