"""A process that has loaded dstack, and forks another for each start that it is asked for."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable


def next_fork(end: Callable[[], object]) -> list[str]:
    """Forks a process for each line of standard input, one after the other.

    The process id of each goes to standard output, and an empty line once it has ended. Each takes
    standard input with it, so that it sees whose end is its own.

    Args:
        end: Called when standard input ends.

    Returns:
        In each fork, the arguments that it was asked for with.
    """
    # Everything until here is shared by all forks: none has to look through it for garbage.
    gc.freeze()
    while line := _read_line():
        forked = os.fork()
        if not forked:
            # Standard output is for whoever asks; the log is the same as that of errors.
            os.dup2(2, 1)
            return line.decode().split()
        os.write(1, b"%d\n" % forked)
        os.waitpid(forked, 0)
        os.write(1, b"\n")
    end()
    raise SystemExit


def _read_line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        read = os.read(0, 4096)
        if not read:
            return b""
        line += read
    return line
