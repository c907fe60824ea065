"""Ending every process that a simulator started, whatever ended the simulator itself.

Three nets hold one below the other. Each child watches a pipe from the process above it and ends
when that goes away. What a child started for itself and detached (OpenSSH's control masters) is
found by a variable of the environment that nothing else carries. And the emulated hosts, to whom
those connections lead, end with the world's process.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Collection

import psutil

from dstack_simulator.folder import MARK_VARIABLE

_LOOK_EVERY = 0.05


def marked(mark: str, *, besides: Collection[int] = ()) -> list[psutil.Process]:
    """The living processes that carry a simulator's mark.

    Args:
        mark: The value of the mark.
        besides: Process ids to leave out.
    """
    found = []
    for process in psutil.process_iter():
        if process.pid in besides:
            continue
        try:
            if process.environ().get(MARK_VARIABLE) == mark:
                found.append(process)
        except (psutil.Error, OSError):
            # Another user's, a kernel thread, or gone meanwhile: none of them is ours.
            continue
    return found


def end_marked(mark: str, *, besides: Collection[int] = (), limit: float = 5.0) -> list[int]:
    """Kills what carries a simulator's mark, until nothing is left.

    Args:
        mark: The value of the mark.
        besides: Process ids to spare, such as the caller's own.
        limit: Seconds to go on.

    Returns:
        The ids of what is still there, which is nothing unless the limit was reached.
    """
    left: list[psutil.Process] = []
    rounds = max(1, int(limit / _LOOK_EVERY))
    for _ in range(rounds):
        # Again and again: a process may have started another just before it was killed.
        left = marked(mark, besides=besides)
        if not left:
            break
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        _, left = psutil.wait_procs(left, timeout=_LOOK_EVERY)
    return [process.pid for process in left]


def when_input_ends(action: Callable[[], None]) -> None:
    """Runs an action in a thread when the other end of standard input goes away.

    Standard input itself is replaced by an empty one, so that no child inherits the pipe.

    Args:
        action: What to do; it should end the process.
    """
    lifeline = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def watch() -> None:
        while os.read(lifeline, 4096):
            pass
        action()

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
