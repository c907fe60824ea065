"""What the terminal can do, and leaving when it goes away."""

from __future__ import annotations

import base64
import signal
import sys
import termios
from collections.abc import Mapping
from typing import Literal

from rich.console import Console

#: The theme for terminals that have a palette of their own and no more.
THEME_OF_FEW_COLOURS = "ansi-dark"
#: What the names of such themes begin with.
_OF_TERMINAL = "ansi-"
#: Seconds between two looks whether the terminal is still there.
LOOK_EVERY = 2.0


#: Bytes of a text that terminals still take to their clipboard: xterm and tmux have the least room.
_MOST_COPIED = 74_994
#: Bytes of a string that GNU screen hands on at once.
_OF_SCREEN = 760
#: Have a terminal keep its title, and take that up again.
KEEP_TITLE, OLD_TITLE = "\x1b[22;2t", "\x1b[23;2t"
#: Terminals without a title, and without a clipboard.
_NO_TITLE = frozenset({"", "dumb", "linux"})
_NO_CLIPBOARD = _NO_TITLE


def clipboard_sequence(text: str, environ: Mapping[str, str]) -> str | None:
    """What has a terminal put a text on its clipboard, through tmux and GNU screen too (OSC 52).

    Args:
        text: The text.
        environ: The environment, which says what terminal it is.

    Returns:
        The escape sequence; None where no terminal would take it.
    """
    data = text.encode()
    terminal = environ.get("TERM", "")
    if terminal in _NO_CLIPBOARD or len(data) > _MOST_COPIED:
        return None
    return _handed_on(f"\x1b]52;c;{base64.b64encode(data).decode()}\x07", environ)


def notification(text: str, environ: Mapping[str, str]) -> str:
    """What has a terminal show a notification, where it can (OSC 9).

    Args:
        text: One line without control characters.
        environ: The environment, which says what terminal it is.
    """
    return _handed_on(f"\x1b]9;{text}\x07", environ)


def title(text: str, environ: Mapping[str, str]) -> str:
    """What gives a terminal a title; empty where it has none.

    Args:
        text: One line without control characters.
        environ: The environment, which says what terminal it is.
    """
    return "" if environ.get("TERM", "") in _NO_TITLE else f"\x1b]2;{text}\x07"


def _handed_on(sequence: str, environ: Mapping[str, str]) -> str:
    """A sequence as tmux and GNU screen hand it on to the terminal that they are in."""
    if _is_gnu_screen(environ):
        parts = (sequence[at : at + _OF_SCREEN] for at in range(0, len(sequence), _OF_SCREEN))
        return "".join(f"\x1bP{part}\x1b\\" for part in parts)
    if environ.get("TMUX"):
        doubled = sequence.replace("\x1b", "\x1b\x1b")
        return f"\x1bPtmux;{doubled}\x1b\\"
    return sequence


def takes_mouse(setting: Literal["on", "off", "auto"], environ: Mapping[str, str]) -> bool:
    """Whether the terminal is asked to report the mouse: GNU screen swallows Esc where it is.

    Args:
        setting: What the user says.
        environ: The environment, which says what terminal it is.
    """
    if setting != "auto":
        return setting == "on"
    # With tmux, too, it stands between: which of them is the inner one can't be told.
    return not (environ.get("STY") or _is_gnu_screen(environ))


def _is_gnu_screen(environ: Mapping[str, str]) -> bool:
    """Whether it is GNU screen; tmux has terminals of that name too.

    Of one in the other the inner one counts. Where its name may be of either it is taken for
    screen: tmux drops what is meant for screen, which would write out what is meant for tmux.
    """
    in_screen, named = bool(environ.get("STY")), environ.get("TERM", "").startswith("screen")
    return in_screen and named if environ.get("TMUX") else in_screen or named


def let_hang_up_end_us() -> None:
    """Makes a lost terminal end the process even where it was started with SIGHUP ignored.

    Programs started by `nohup` and by some session managers inherit that, and live on without a
    terminal.
    """
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def theme_of(chosen: str | None, *, few_colours: bool) -> str | None:
    """The theme to begin with, where the settings name none; None to ask the terminal.

    Args:
        chosen: What was chosen the last time, on whatever terminal that was.
        few_colours: Whether this one has 16 colours.
    """
    if few_colours and not (chosen or "").startswith(_OF_TERMINAL):
        return THEME_OF_FEW_COLOURS
    return chosen


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
