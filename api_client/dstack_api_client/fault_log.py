"""Where faults of this program are written down, without anything that it worked on.

A traceback with the values of variables, or even the text of an exception, may hold tokens and
environment values. What is written is where the fault came up: types, files, lines, functions.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from platformdirs import user_state_path

from dstack_api_client.clock import utc_now

#: Bytes after which the log begins again.
_MOST = 256 * 1024
#: Steps of one fault that are written, the last ones.
_STEPS = 30


def path() -> Path:
    """Where the log is."""
    return user_state_path("dstack-fleets-tui", appauthor=False) / "faults.log"


def write(error: BaseException) -> Path | None:
    """Adds a fault to the log, which only its owner can read.

    Returns:
        Where; None where it could not be written.
    """
    file = path()
    text = "".join(f"{line}\n" for line in _lines(error))
    with contextlib.suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        begin = os.O_TRUNC if file.exists() and file.stat().st_size > _MOST else os.O_APPEND
        flags = os.O_WRONLY | os.O_CREAT | begin | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(file, flags, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as log:
            os.fchmod(log.fileno(), 0o600)
            log.write(text)
        return file
    return None


def place_of(error: BaseException) -> str:
    """The kind of a fault and where it came up: `KeyError in joining.py, line 33`."""
    frames = list(_frames(error.__traceback__))
    if not frames:
        return type(error).__name__
    file, line, _ = frames[-1]
    return f"{type(error).__name__} in {file}, line {line}"


def _lines(error: BaseException) -> Iterator[str]:
    now = utc_now().isoformat(timespec="seconds")
    yield f"{now} Python {sys.version.split()[0]}"
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield f"  {type(cause).__module__}.{type(cause).__qualname__}"
        for file, line, function in list(_frames(cause.__traceback__))[-_STEPS:]:
            yield f"    {file}:{line} {function}"
        cause = cause.__cause__ or cause.__context__


def _frames(trace: TracebackType | None) -> Iterator[tuple[str, int, str]]:
    while trace is not None:
        code = trace.tb_frame.f_code
        yield Path(code.co_filename).name, trace.tb_lineno, code.co_name
        trace = trace.tb_next
