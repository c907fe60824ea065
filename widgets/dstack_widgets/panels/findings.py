"""What is to be said of what a table shows, the loudest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from textual.content import Content

from dstack_widgets.drawing.glyphs import UNICODE, Glyphs
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal
from dstack_widgets.panels.lines import Lines


class Finding(NamedTuple):
    """One thing to say."""

    style: str
    """`bad`, `warn`, or `dim` for a note."""
    subject: str
    """What it is about; may be empty."""
    text: str
    """A sentence; it is literal text."""


_INDENT = 2


def finding_lines(
    findings: Sequence[Finding], width: int, most: int | None = None, glyphs: Glyphs = UNICODE
) -> list[Content]:
    """Lays findings out, each wrapped behind its mark.

    Args:
        findings: The findings, the loudest first.
        width: Cells of a line.
        most: How many lines there may be; without it, as many as it takes.
        glyphs: The signs to draw.

    Returns:
        The lines. Where they are too many, the last one tells how many findings are not shown.
    """
    blocks = [_block(finding, max(2, width - _INDENT), glyphs) for finding in findings]
    lines = [line for block in blocks for line in block]
    if most is None or len(lines) <= most:
        return lines
    if most <= 0:
        return []
    kept: list[Content] = []
    shown = 0
    for block in blocks:
        if len(kept) + len(block) > most - 1:
            break
        kept += block
        shown += 1
    if not shown and most > 1:
        # The loudest is worth its first lines.
        kept, shown = blocks[0][: most - 1], 1
    left = len(blocks) - shown
    if left:
        kept.append(literal(f"  {glyphs.ellipsis} and {left} more", style_of("dim")))
    elif len(kept) < len(lines):
        kept.append(literal(f"  {glyphs.ellipsis}", style_of("dim")))
    return kept


def _block(finding: Finding, room: int, glyphs: Glyphs) -> list[Content]:
    note = finding.style == "dim"
    style = style_of(finding.style)
    mark = literal(glyphs.sign(finding.style), style)
    content = literal(finding.text, style if note else "")
    if finding.subject:
        content = literal(finding.subject, style) + literal("  ") + content
    wrapped = content.wrap(room)
    return [mark + " " + wrapped[0], *(line.pad_left(_INDENT) for line in wrapped[1:])]


class Findings(Lines):
    """Findings below a table; no higher than it is given room for."""

    DEFAULT_CSS = """
    Findings {
        height: auto;
        width: 1fr;
    }
    """

    def __init__(
        self,
        *,
        glyphs: Glyphs = UNICODE,
        id: str | None = None,  # noqa: A002 (the name that every widget gives it)
    ) -> None:
        """Makes one without findings.

        Args:
            glyphs: The signs to draw.
            id: As for every widget.
        """
        super().__init__(id=id)
        self._glyphs = glyphs
        self._findings: tuple[Finding, ...] = ()
        self._most: int | None = None

    @property
    def findings(self) -> Sequence[Finding]:
        """What it says."""
        return self._findings

    def show(self, findings: Sequence[Finding]) -> None:
        """Shows other findings; only what looks different is painted."""
        before = self.lines(self.size.width)
        self._findings = tuple(findings)
        self.paint(before)

    def limit(self, most: int) -> None:
        """Says how many lines there may be."""
        if most != self._most:
            before = self.lines(self.size.width)
            self._most = most
            self.paint(before)

    def needed(self, width: int) -> int:
        """How many lines it would take to show everything."""
        return len(finding_lines(self._findings, width, None, self._glyphs))

    def lines(self, width: int) -> Sequence[Content]:
        """The findings, as far as there is room."""
        if not width:
            return ()  # not laid out yet
        return finding_lines(self._findings, width, self._most, self._glyphs)
