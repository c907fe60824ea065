"""What is looked for in a text: a part of it, what it must not have, letters, an expression."""

from __future__ import annotations

import re


class Pattern:
    r"""A text that is looked for; case does not matter.

    `timeout` is a part of a line, `!health` is what a line must not have, `~tmo` are letters that
    come in this order, and what stands between slashes is a regular expression: `/5\d\d/`,
    `!/GET|HEAD/`.

    Args:
        text: What was typed.

    Attributes:
        excludes: Whether it says what a line must not have.
        plain: Whether it is but a part of a line.
        error: Why it is not a regular expression; empty where there is nothing wrong with it.
    """

    def __init__(self, text: str = "") -> None:
        self.text = text
        self.error = ""
        self.excludes = text.startswith("!")
        sought = text[1:] if self.excludes else text
        self._found: re.Pattern[str] | None = None
        self.plain = False
        if len(sought) > 1 and sought.startswith("~"):
            letters = (re.escape(letter) for letter in sought[1:] if letter != " ")
            self._found = re.compile(".*?".join(letters), re.IGNORECASE)
        elif len(sought) > 2 and sought[0] == sought[-1] == "/":
            try:
                self._found = re.compile(sought[1:-1], re.IGNORECASE)
            except re.error as error:
                self.error = f"{sought} is not a regular expression: {error.msg}"
        elif sought:
            self.plain = not self.excludes
            self._found = re.compile(re.escape(sought), re.IGNORECASE)

    def __bool__(self) -> bool:
        return self._found is not None

    def finds(self, text: str) -> bool:
        """Whether what is looked for stands in a text, be it what must not be there."""
        return self._found is not None and self._found.search(text) is not None

    def passes(self, text: str) -> bool:
        """Whether a line is one of those that are looked for."""
        return self._found is None or self.finds(text) != self.excludes

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where what is looked for stands in a line; nowhere for what it must not have."""
        if self._found is None or self.excludes:
            return []
        return [found.span() for found in self._found.finditer(text) if found[0]]
