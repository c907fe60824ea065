"""A command that has the terminal to itself while the app steps back."""

from __future__ import annotations

import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

#: Seconds that it has to end by itself, once this program is asked to end.
_ENDS_WITHIN = 2.0


class Signalled(BaseException):
    """A signal came; raised where the command is waited for."""

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal


def run_outside(command: Sequence[str]) -> int:
    """Runs a command to its end with the terminal to itself; to be called while the app steps back.

    Args:
        command: The command.

    Returns:
        Its exit code.

    Raises:
        Signalled: This program was asked to end meanwhile; so was the command.
        OSError: It can't be started.
    """
    with _terminal_kept():
        return _run(command)


def _run(command: Sequence[str]) -> int:
    """Runs a command to its end, or until this process is asked to end."""
    with _signals_raised(), subprocess.Popen(command) as running:
        try:
            # With a limit it looks again and again. A signal that another thread takes would not
            # wake what waits without one.
            return running.wait(threading.TIMEOUT_MAX)
        except BaseException:
            # An editor that saves what it has does so now; vim does it in its swap file.
            running.terminate()
            try:
                running.wait(_ENDS_WITHIN)
            except subprocess.TimeoutExpired:
                running.kill()
            raise


@contextmanager
def _signals_raised() -> Iterator[None]:
    """Has the first SIGTERM or SIGHUP raise where the command is waited for.

    Ctrl+C is the command's: a terminal sends it to this process too.
    """
    seen = False

    def raised(number: int, frame: FrameType | None) -> None:
        nonlocal seen
        if number != signal.SIGINT and not seen:
            seen = True
            raise Signalled(number)

    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = {number: signal.signal(number, raised) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _terminal_kept() -> Iterator[None]:
    """Gives the terminal its modes back, whatever the command left."""
    try:
        before = termios.tcgetattr(sys.__stdin__.fileno()) if sys.__stdin__ else None
    except (termios.error, OSError, ValueError):  # no terminal, or gone
        before = None
    try:
        yield
    finally:
        if before is not None and sys.__stdin__ is not None:
            with suppress(termios.error, OSError, ValueError):
                termios.tcsetattr(sys.__stdin__.fileno(), termios.TCSANOW, before)
