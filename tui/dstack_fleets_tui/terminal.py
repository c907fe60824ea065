"""Leaving when the terminal goes away."""

from __future__ import annotations

import os
import signal
import sys

#: Seconds between two looks whether the terminal is still there.
LOOK_EVERY = 2.0


def let_hang_up_end_us() -> None:
    """Makes a lost terminal end the process even where it was started with SIGHUP ignored.

    Programs started by `nohup` and by some session managers inherit that, and live on without a
    terminal.
    """
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def terminal_is_gone() -> bool:
    """Whether the terminal of this process has gone: its descriptor answers no more."""
    if sys.__stdin__ is None:
        return True
    try:
        os.tcgetpgrp(sys.__stdin__.fileno())
    except (OSError, ValueError):
        return True
    return False
