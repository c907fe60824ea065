"""Tables for other programs and for documents: CSV, and Markdown."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

from dstack_api_client.text import one_line
from dstack_fleets_tui.output.table import Column
from dstack_fleets_tui.words.formatting import NOTHING

#: What would be read as more than a text in a cell of Markdown; `>` quotes at the beginning only.
_SIGNS = re.compile(r"(^>|[\\`*_{}\[\]<|#~])")


def as_csv(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> str:
    """Writes a table as CSV with line feeds, its titles first; what is not known is empty."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow([column.title for column in columns])
    writer.writerows(["" if cell == NOTHING else one_line(cell) for cell in row] for row in rows)
    return written.getvalue()


def as_markdown(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> str:
    """Writes a table as Markdown, with columns of numbers to the right."""
    lines = [
        [column.title for column in columns],
        ["---:" if column.right else "---" for column in columns],
        *([markdown(cell) for cell in row] for row in rows),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def markdown(text: str) -> str:
    """A text as one line of Markdown that says no more than it does."""
    return _SIGNS.sub(r"\\\1", one_line(text))
