"""The background of the terminal, asked for and taken out of what is typed (OSC 11)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

#: Asks for the background.
QUESTION = "\x1b]11;?\x1b\\"
#: Seconds in which an answer counts; one that comes later is taken out, and no more.
PATIENCE = 0.1

#: Seconds for which a lone Esc may be the beginning of an answer, and is held back for a moment.
_EXPECTED = 5.0

_BEGINNING = "\x1b]11;"
_ANSWER = re.compile(
    r"\x1b\]11;(?:rgba?:([0-9a-fA-F]{1,4})/([0-9a-fA-F]{1,4})/([0-9a-fA-F]{1,4}))?"
    r"[^\x07\x1b]{0,64}(?:\x07|\x1b\\)"
)
_BEGUN = re.compile(r"\x1b(?:\](?:1(?:1(?:;[^\x07\x1b]{0,64}\x1b?)?)?)?)?\Z")


class Answers:
    """Takes the answer out of what comes from a terminal, however it is cut into pieces.

    Args:
        found: Called with the luminance of the background, 0 to 1, where the answer came in time.
        clock: Seconds that only grow.
    """

    def __init__(
        self, found: Callable[[float], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._found = found
        self._clock = clock
        self._held = ""
        self._asked_at: float | None = None

    def ask(self, write: Callable[[str], None]) -> None:
        """Asks the terminal."""
        self._asked_at = self._clock()
        write(QUESTION)

    def take(self, text: str) -> str:
        """What is left of a text that has come: what was typed."""
        if self._asked_at is None:
            return text
        text, self._held = self._held + text, ""
        answer = _ANSWER.search(text)
        if answer is not None:
            if answer[1] and self._clock() - self._asked_at <= PATIENCE:
                self._found(_luminance(*answer.groups()))
            self._asked_at = None
            return text[: answer.start()] + text[answer.end() :]
        begun = _BEGUN.search(text)
        if begun is not None and (begun[0] != "\x1b" or self._is_expected(self._asked_at)):
            text, self._held = text[: begun.start()], begun[0]
        return text

    def rest(self) -> str:
        """What was held back and is no answer, once nothing more came for a moment."""
        if self._held.startswith(_BEGINNING):
            return ""
        held, self._held = self._held, ""
        return held

    def _is_expected(self, asked_at: float) -> bool:
        return self._clock() - asked_at < _EXPECTED


def _luminance(*channels: str) -> float:
    """How light a colour is, of channels of one to four digits."""
    red, green, blue = (int(each, 16) / (16 ** len(each) - 1) for each in channels)
    return float(0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2)
