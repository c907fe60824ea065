"""Reads recordings, also those that were cut or damaged."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BufferedReader
from pathlib import Path

import msgspec

from dstack_api_client.errors import RecordingError
from dstack_api_client.recordings.written import FORM, LARGEST, Form, Head, Moment
from dstack_api_client.text import clean_json, one_line
from dstack_api_client.transport.failures import NOT_DECODED
from dstack_api_client.transport.wire_values import known_time

#: Bytes of the longest line, names in it, and moments: more is none of a dashboard, and would be
#: gigabytes in memory.
_LONGEST, _MOST_NAMES, _MOST_MOMENTS = 64 * 1024**2, 4_000_000, 1_000_000
_PACKED = b"\x1f\x8b"
_NO_RECORDING = "Name a file that was made with --record."
_head = msgspec.json.Decoder(Head)
_form = msgspec.json.Decoder(Form)
_moment = msgspec.json.Decoder(Moment)


@dataclass(frozen=True)
class Line:
    """A moment that was not taken apart yet."""

    at: datetime
    whole: bool
    raw: bytes

    def read(self) -> Moment:
        """What it says."""
        return _moment.decode(self.raw)


@dataclass(frozen=True)
class Recording:
    """A recording.

    Attributes:
        head: What it is of.
        lines: Its moments, at least one; the first is whole.
        cut: Whether its end is missing or damaged.
    """

    head: Head
    lines: Sequence[Line]
    cut: bool


def read_recording(path: Path) -> Recording:
    """Reads a recording up to where it can't be read any more.

    Raises:
        RecordingError: It can't be read at all.
    """
    name = one_line(str(path))
    lines: list[Line] = []
    cut = False
    try:
        with path.open("rb") as file:
            rows = _rows(file)
            head = _head_of(next(rows, None) or b"", name)
            for row in rows:
                line = None if row is None else _line(row)
                if line is None or (line.at < lines[-1].at if lines else not line.whole):
                    cut = True
                    break
                lines.append(line)
    except OSError as error:
        raise RecordingError(f"{name} can't be read: {error.strerror}.", _NO_RECORDING) from error
    if not lines:
        raise RecordingError(f"{name} ends before the first poll.", "There is nothing to play.")
    return Recording(head, lines, cut)


def _rows(file: BufferedReader) -> Iterator[bytes | None]:
    """The lines of a file, unpacked; None where its end is missing, damaged or too much."""
    is_packed = file.peek(2).startswith(_PACKED)
    unpacked = gzip.GzipFile(fileobj=file) if is_packed else file
    size = 0
    for _ in range(_MOST_MOMENTS):
        try:
            row = unpacked.readline(_LONGEST)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            break
        size += len(row)
        if not row:
            return
        # What stands after the last end of a line is a line that was cut.
        if not row.endswith(b"\n") or size > LARGEST:
            break
        yield row[:-1]
    yield None


def _head_of(row: bytes, name: str) -> Head:
    try:
        form = _form.decode(row).dstack_fleets_recording
        head = _head.decode(clean_json(row)) if form == FORM else None
    except NOT_DECODED as error:
        raise RecordingError(f"{name} is not a recording of a dashboard.", _NO_RECORDING) from error
    if head is None:
        raise RecordingError(
            f"{name} was recorded in another form ({form}) than this version plays ({FORM}).",
            "Play it with the version that recorded it.",
        )
    return head


def _line(row: bytes) -> Line | None:
    """A line; None for one that says nothing, or too much."""
    if row.count(b'":') > _MOST_NAMES:
        return None
    try:
        moment = _moment.decode(row)
        at = known_time(moment.at)
    except NOT_DECODED:
        return None
    return Line(at, moment.whole, row)
