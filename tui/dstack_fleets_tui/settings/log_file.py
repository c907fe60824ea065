"""The file that `--log-file` asks for: what was requested, said and failed, without secrets."""

from __future__ import annotations

import logging
import os
import platform
import stat
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from dstack_api_client.secrets import MASK, masked
from dstack_api_client.text import one_line

#: Loggers of this program; libraries have nothing to say in it.
_OURS = ("dstack_api_client", "dstack_fleets_tui")
#: What is told of the terminal.
_VARIABLES = ("TERM", "COLORTERM", "TMUX", "STY", "SSH_CONNECTION", "LANG", "NO_COLOR")


class _Redacted(logging.Formatter):
    """Lines without what looks like a secret, and without secrets that are known."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03d %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
        self.known: set[str] = set()

    def format(self, record: logging.LogRecord) -> str:
        """One line for a record; a fault's own text and its traceback stay out."""
        record.exc_info, record.exc_text, record.stack_info = None, None, None
        line = one_line(super().format(record))
        for secret in self.known:
            line = line.replace(secret, MASK)
        return masked(line)


class _Lines(logging.FileHandler):
    """The file; where it can't be written, the log ends, and nothing else does.

    Attributes:
        lost: Why it ended; empty where it goes on.
    """

    lost = ""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - as logging names it
        """Keeps why; logging would print the record as it is, on top of the dashboard."""
        error = sys.exc_info()[1]
        self.lost = (error.strerror if isinstance(error, OSError) else None) or "it failed"
        for name in _OURS:
            logging.getLogger(name).removeHandler(self)


_FORMAT = _Redacted()
_open: list[_Lines] = []


def open_log(path: Path, version: str, environ: Mapping[str, str]) -> None:
    """Begins to write to a file that only its owner can read; what is in it stays.

    Args:
        path: The file.
        version: Of this program.
        environ: The environment, of which it is told what terminal this is.

    Raises:
        OSError: It can't be written.
    """
    _make_private(path)
    handler = _Lines(path, encoding="utf-8")
    handler.setFormatter(_FORMAT)
    _open.append(handler)
    for name in _OURS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
        logger.propagate = False
    where = " ".join(f"{name}={environ[name]}" for name in _VARIABLES if name in environ)
    logging.getLogger(_OURS[1]).info(
        "version %s, Python %s, %s %s", version, platform.python_version(), platform.system(), where
    )


def _make_private(path: Path) -> None:
    """Makes the file; one that others could read is its owner's alone from now on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_mode & 0o077:
            os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def close_log() -> str:
    """Ends the log; says why it ended before, if it did."""
    lost = ""
    while _open:
        handler = _open.pop()
        for name in _OURS:
            logging.getLogger(name).removeHandler(handler)
        with suppress(OSError):
            handler.close()
        if handler.lost:
            path = one_line(handler.baseFilename)
            lost = f"The log {path} ended before this did: {handler.lost}."
    return lost


def hide(secret: str) -> None:
    """Keeps a secret that is known out of every line."""
    if secret:
        _FORMAT.known.add(secret)
