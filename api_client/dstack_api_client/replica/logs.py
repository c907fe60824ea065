"""The last lines that a job wrote, followed.

Only the newest lines of each look are asked for. A job that writes more than can be read shows its
newest lines and, in between, that some were left out.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta

from dstack_api_client.text import one_line
from dstack_api_client.transport import wire
from dstack_api_client.transport.client import Client

#: Most lines that are kept.
KEPT_LINES = 1000
#: Pieces of output in one look; a piece is a line nearly always.
_LOOK = 200
#: Most characters of a line.
_LONGEST = 2000
#: Times of output are exact to this.
_GRAIN = timedelta(milliseconds=1)

#: Colours and other sequences for a terminal, which are nothing to read.
_SEQUENCES = re.compile(r"\x1b(?:\][^\x07\x1b]*(?:\x07|\x1b\\)?|\[[0-?]*[ -/]*[@-~]|[@-Z\\^_])")


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of output.

    Attributes:
        number: Counts up within one tail.
        at: When it was written.
        text: Clean, on one line.
        left_out: Whether lines before it were left out.
        of: What wrote it, as the tail was named.
    """

    number: int
    at: datetime
    text: str
    left_out: bool = False
    of: str = ""


class LogTail:
    """Follows the output of one submission of a job.

    Args:
        client: The client to read with.
        project: The project's name.
        run_name: The run's name.
        submission_id: The submission.
        name: What its lines are to be marked with.
        since: The first look goes back to this moment; to the newest lines only for None.
        page: Pieces of output in one answer.
        pages: Most answers of the first look.
        kept: Most lines that are kept.

    Attributes:
        added: The lines that the last look brought.
        replaced: The line that they begin with instead, where that one was not finished.
    """

    def __init__(
        self,
        client: Client,
        project: str,
        run_name: str,
        submission_id: str,
        *,
        name: str = "",
        since: datetime | None = None,
        page: int = _LOOK,
        pages: int = 1,
        kept: int = KEPT_LINES,
    ) -> None:
        self.submission_id = submission_id
        self.added: list[LogLine] = []
        self.replaced: LogLine | None = None
        self._client = client
        self._project = project
        self._run_name = run_name
        self._name = name
        self._since = since
        self._page = page
        self._pages = pages
        self._lines: deque[LogLine] = deque(maxlen=kept)
        self._number = 0
        self._last: datetime | None = None
        self._at_last = 0
        self._unfinished = ""

    @property
    def lines(self) -> tuple[LogLine, ...]:
        """The lines that are kept, the oldest first."""
        return tuple(self._lines)

    @property
    def unfinished(self) -> LogLine | None:
        """The last line, where more of it may come."""
        return self._lines[-1] if self._unfinished and self._lines else None

    async def read(self) -> bool:
        """Looks for newer lines.

        Returns:
            Whether there were any.
        """
        last = self._last
        pieces, is_full = await self._look(last)
        gap = is_full and (last is None or pieces[0].timestamp >= last)
        if last is not None:
            known = 0 if gap else self._at_last
            pieces = [piece for piece in pieces if piece.timestamp >= last]
            at_last = sum(piece.timestamp == last for piece in pieces)
            pieces = pieces[min(known, at_last) :]
        self.added, self.replaced = [], None
        if not pieces:
            return False
        if gap:
            self._unfinished = ""
        self._take(pieces, gap=gap)
        return True

    async def _look(self, last: datetime | None) -> tuple[list[wire.LogEvent], bool]:
        """The newest pieces of output, the oldest first; and whether there may be older ones."""
        found: list[wire.LogEvent] = []
        token = None
        for _ in range(self._pages if last is None else 1):
            answer = await self._client.logs.poll(
                self._project,
                self._run_name,
                self.submission_id,
                # Lines of the same moment may come later than those that are known.
                start=last - _GRAIN if last is not None else self._since,
                descending=True,
                limit=self._page,
                next_token=token,
            )
            found += answer.logs
            token = answer.next_token
            if token is None or len(answer.logs) < self._page:
                break
        return found[::-1], len(answer.logs) >= self._page

    def _take(self, pieces: list[wire.LogEvent], *, gap: bool) -> None:
        for piece in pieces:
            if piece.timestamp != self._last:
                self._last, self._at_last = piece.timestamp, 0
            self._at_last += 1
            gap = self._write(_decoded(piece.message), piece.timestamp, gap=gap)

    def _write(self, text: str, at: datetime, *, gap: bool) -> bool:
        """Adds a piece of output, which may go on with a line or leave one unfinished."""
        if self._unfinished and self._lines:
            begun = self._lines.pop()
            if self.added:
                self.added.pop()
            else:
                self.replaced = begun
            gap = begun.left_out
            text = self._unfinished + text
        *whole, self._unfinished = text.replace("\r\n", "\n").split("\n")
        self._unfinished = self._unfinished[-_LONGEST:]
        for line in (*whole, *([self._unfinished] if self._unfinished else ())):
            made = LogLine(self._number, at, _readable(line), gap, self._name)
            self._lines.append(made)
            self.added.append(made)
            self._number += 1
            gap = False
        return gap


def _decoded(message: str) -> str:
    try:
        return base64.b64decode(message, validate=True).decode(errors="replace")
    except (binascii.Error, ValueError):
        return message


def _readable(line: str) -> str:
    """What a terminal would show of a line in the end: a progress bar just once."""
    shown = _SEQUENCES.sub("", line).rstrip("\r").rpartition("\r")[2]
    shown = one_line(shown.expandtabs(4).rstrip())
    return shown if len(shown) <= _LONGEST else shown[:_LONGEST] + "…"
