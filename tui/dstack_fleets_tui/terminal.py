"""What the terminal can do, and leaving when it goes away."""

from __future__ import annotations

import signal
import sys
import termios

from rich.console import Console

#: The theme for terminals that have a palette of their own and no more.
THEME_OF_FEW_COLOURS = "ansi-dark"
#: Seconds between two looks whether the terminal is still there.
LOOK_EVERY = 2.0


def let_hang_up_end_us() -> None:
    """Makes a lost terminal end the process even where it was started with SIGHUP ignored.

    Programs started by `nohup` and by some session managers inherit that, and live on without a
    terminal.
    """
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def has_few_colours() -> bool:
    """Whether the terminal has 16 colours: a theme of more comes out in white and grey there."""
    return Console(force_terminal=True).color_system == "standard"


def terminal_is_gone() -> bool:
    """Whether the terminal of this process has gone: its descriptor answers no more.

    It need not be the controlling terminal: under `setsid` and in some containers it is not.
    """
    if sys.__stdin__ is None:
        return True
    try:
        termios.tcgetattr(sys.__stdin__.fileno())
    except (termios.error, OSError, ValueError):
        return True
    return False
