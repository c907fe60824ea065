"""Looking for a text in lines that all stay in sight."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from textual.content import Content

from dstack_widgets.search.patterns import Pattern

#: How what is found is drawn, and the part that one has gone to.
_FOUND, _AT = "reverse", "bold reverse underline"


class Search:
    """What is looked for, and in which line one is.

    Attributes:
        pattern: What is looked for.
        found: The numbers of the lines that have it, in order.
        at: The line that one has gone to; -1 before that.
    """

    def __init__(self) -> None:
        self.pattern = Pattern()
        self.found: Sequence[int] = ()
        self.at = -1

    def look_for(self, pattern: Pattern, lines: Sequence[Content]) -> None:
        """Looks for something in lines; the same again in other lines keeps where one is."""
        if pattern.text != self.pattern.text:
            self.at = -1
        self.pattern = pattern
        self.found = [at for at, line in enumerate(lines) if pattern.spans(line.plain)]

    def next(self, by: int, start: int) -> int | None:
        """Goes to the next line (1) or the one before (-1) that has it, around the end.

        Args:
            by: The direction.
            start: The line to begin with where one has gone to none yet.

        Returns:
            The line; None where no line has it.
        """
        if not self.found:
            return None
        at = self.at if self.at >= 0 else start - by
        index = bisect_right(self.found, at) if by > 0 else bisect_left(self.found, at) - 1
        self.at = self.found[index % len(self.found)]
        return self.at

    def marked(self, lines: Sequence[Content]) -> Sequence[Content]:
        """The lines, with what is found in them marked."""
        if not self.found:
            return lines
        marked = list(lines)
        for at in self.found:
            if at < len(marked):
                style = _AT if at == self.at else _FOUND
                for start, end in self.pattern.spans(marked[at].plain):
                    marked[at] = marked[at].stylize(style, start, end)
        return marked

    @property
    def told(self) -> str:
        """What is looked for, and how many lines have it; empty without anything."""
        pattern = self.pattern
        if pattern.error or not pattern.text:
            return pattern.error
        if not self.found:
            return f"/{pattern.text}  not found"
        where = f"{self.found.index(self.at) + 1} of " if self.at in self.found else ""
        lines = f"{len(self.found)} line{'' if len(self.found) == 1 else 's'}"
        return f"/{pattern.text}  {where}{lines}, n next, esc ends it"
