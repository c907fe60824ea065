"""Writes what a feed brings into a file."""

from __future__ import annotations

import os
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import msgspec

from dstack_api_client.clock import utc_now
from dstack_api_client.errors import RecordingError
from dstack_api_client.feed.feed import Feed
from dstack_api_client.feed.update import Update
from dstack_api_client.recordings.keyed import Telling
from dstack_api_client.recordings.written import FORM, LARGEST, Head, Moment
from dstack_api_client.secrets import masked
from dstack_api_client.text import one_line
from dstack_api_client.transport import wire

_ANOTHER = "Name another file."


class Recorder:
    """A recording that is being made.

    Args:
        path: The file, which must not be there; one that ends in `.gz` is packed.
        project: The project's name.
        url: The server's address.
        interval: Seconds between two polls.
        now: The clock.
        largest: Bytes of text at which it ends.

    Raises:
        RecordingError: The file is there, or can't be made.
    """

    def __init__(
        self,
        path: Path,
        *,
        project: str,
        url: str,
        interval: float,
        now: Callable[[], datetime] = utc_now,
        largest: int = LARGEST,
    ) -> None:
        self.path = path
        self._of = (url, project)
        self._now = now
        self._largest = largest
        self._telling = Telling()
        self._size = 0
        self._since_whole, self._whole_size = 0, 0
        self._last: datetime | None = None
        name = one_line(str(path))
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise RecordingError(f"{name} is there already.", _ANOTHER) from error
        except OSError as error:
            raise RecordingError(f"{name} can't be written: {error.strerror}.", _ANOTHER) from error
        self._file: BinaryIO | None = os.fdopen(handle, "wb")
        self._pack = zlib.compressobj(wbits=31) if path.suffix == ".gz" else None
        try:
            self._write(msgspec.json.encode(Head(FORM, project, masked(url), interval, now())))
        except OSError as error:
            self.close()
            raise RecordingError(f"{name} can't be written: {error.strerror}.", _ANOTHER) from error

    @property
    def goes_on(self) -> bool:
        """Whether it did not end yet."""
        return self._file is not None

    def is_of(self, url: str, project: str) -> bool:
        """Whether it is of a project of a server."""
        return self._of == (url, project)

    def take(self, feed: Feed, update: Update) -> None:
        """Writes what a poll brought.

        Raises:
            RecordingError: It can't be written, or the file is full; nothing is written any more.
        """
        if self._file is None:
            return
        now = self._now()
        self._last = now if self._last is None else max(self._last, now)
        changes = self._telling.changes(update, feed.answers, feed.events)
        whole = self._since_whole >= self._whole_size
        values = self._telling.whole() if whole else changes
        line = msgspec.json.encode(Moment(self._last, whole, values))
        if self._size + len(line) > self._largest:
            self.close()
            raise RecordingError(
                f"The recording ended: it has {self._largest // 1024**2} MB.",
                "Start another one for what comes.",
            )
        try:
            self._write(line)
        except OSError as error:
            self.close()
            raise RecordingError(
                f"The recording ended: {one_line(str(self.path))} can't be written:"
                f" {error.strerror}.",
                "What was recorded can be played.",
            ) from error
        if whole:
            self._since_whole, self._whole_size = 0, len(line)
        self._since_whole += len(line) * (not whole)

    def close(self) -> None:
        """Ends the file, also where the disk is full: what it has can be played without an end."""
        file, self._file = self._file, None
        if file is None:
            return
        with suppress(OSError), file:
            if self._pack is not None:
                file.write(self._pack.flush())

    def _write(self, line: bytes) -> None:
        """Writes a line such that it can be read although nothing comes after it."""
        if self._file is None:
            raise AssertionError("nothing is written into a recording that has ended")
        self._size += len(line) + 1
        data = line + b"\n"
        if self._pack is not None:
            data = self._pack.compress(data) + self._pack.flush(zlib.Z_SYNC_FLUSH)
        self._file.write(data)
        self._file.flush()


class RecordedFeed:
    """A feed whose polls are recorded.

    Args:
        feed: The feed.
        recorder: What writes them.
        on_end: Called with why it ended, where it did before the feed.

    Attributes:
        focus: Tells the feed what is on screen.
    """

    def __init__(
        self, feed: Feed, recorder: Recorder, on_end: Callable[[RecordingError], object]
    ) -> None:
        self._feed = feed
        self._recorder = recorder
        self._on_end = on_end
        self.focus = feed.focus

    @property
    def events(self) -> list[wire.Event]:
        """The newest events that were read."""
        return self._feed.events

    async def poll(self, *, full: bool = False) -> AsyncIterator[Update]:
        """Polls once, as the feed does."""
        async for update in self._feed.poll(full=full):
            try:
                self._recorder.take(self._feed, update)
            except RecordingError as error:
                self._on_end(error)
            yield update
