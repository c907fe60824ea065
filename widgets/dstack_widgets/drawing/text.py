"""The one way for text from a server to reach a widget, and measuring it in cells.

Text from a server is data: it is never parsed as markup, and nothing in it may move the cursor,
change colours or turn the direction of the text around it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from rich.cells import cell_len, split_graphemes
from textual.content import Content

#: Control characters, the separators that break lines, what turns the direction of a text, tags,
#: and halves of surrogate pairs (which no terminal can be sent).
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_REPLACEMENT = "\ufffd"
_BLANKS = {"\t": " ", "\n": " ", "\r": " ", "\u2028": " ", "\u2029": " "}


def clean(text: str) -> str:
    """Replaces what must not reach a terminal.

    Text is cleaned where it enters, in the client; this is the second lock on the door.

    Args:
        text: Any text.

    Returns:
        The text on one line, without control characters and without characters that turn the
        direction of the text around them. The text itself when there was nothing to replace.
    """
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub(lambda found: _BLANKS.get(found.group(), _REPLACEMENT), text)


def literal(text: str, style: str = "") -> Content:
    """Makes content of a text exactly as it stands.

    Args:
        text: Any text; brackets in it stay brackets.
        style: A style as Textual writes it, such as `bold $text-error`.

    Returns:
        The content, on one line.
    """
    return Content.styled(clean(text), style)


def safe(content: Content) -> Content:
    """Makes sure of content made elsewhere.

    Args:
        content: Any content; its lines stay lines.

    Returns:
        The content itself; without its styles if it had characters that must not reach a terminal.
    """
    lines = content.plain.split("\n")
    cleaned = [clean(line) for line in lines]
    return content if cleaned == lines else Content("\n".join(cleaned))


def changed_stretches(before: Content, after: Content, gap: int = 8) -> list[tuple[int, int]]:
    """Finds which cells of a line look different now.

    Args:
        before: The line as it was.
        after: The line as it is.
        gap: So many equal cells between two changes are written along.

    Returns:
        Where each stretch begins and ends; all of the longer line where cells can't be compared
        one by one.
    """
    old, new = before.plain, after.plain
    if before.is_same(after):
        return []
    if len(old) != len(new) or before.spans != after.spans or cell_len(new) != len(new):
        return [(0, max(before.cell_length, after.cell_length))]
    stretches: list[tuple[int, int]] = []
    for x, (one, other) in enumerate(zip(old, new, strict=True)):
        if one == other:
            continue
        if stretches and x - stretches[-1][1] <= gap:
            stretches[-1] = (stretches[-1][0], x + 1)
        else:
            stretches.append((x, x + 1))
    return stretches


def fitting(text: str, cells: int) -> tuple[int, int]:
    """Finds how much of a text fits.

    A character is never parted from the marks combined with it.

    Args:
        text: Any text.
        cells: How many cells there are.

    Returns:
        How many code points of the text fit, and how many cells these take.
    """
    width = cell_len(text)
    if width <= cells:
        return len(text), width
    if text.isascii():
        return cells, cells
    spans, _ = split_graphemes(text)
    taken = end = 0
    for _, after, size in spans:
        if taken + size > cells:
            break
        taken += size
        end = after
    return end, taken


def shorten(text: str, cells: int, ellipsis: str = "…") -> str:
    """Cuts a text to a number of cells.

    Args:
        text: Any text.
        cells: How many cells there are.
        ellipsis: What stands where the text was cut, one cell wide.

    Returns:
        The text if it fits, else its beginning and the ellipsis, together no wider than `cells`.
    """
    if cell_len(text) <= cells:
        return text
    if cells <= 0:
        return ""
    end, _ = fitting(text, cells - cell_len(ellipsis))
    return text[:end] + ellipsis


def shorten_name(text: str, cells: int, ellipsis: str = "…") -> str:
    """Cuts a name in the middle: names of one kind differ at either end.

    Args:
        text: The name.
        cells: How many cells there are.
        ellipsis: What stands where the name was cut, one cell wide.

    Returns:
        The name if it fits, else its two ends, together no wider than `cells`.
    """
    room = cells - cell_len(ellipsis)
    if room < 2 or cell_len(text) <= cells:
        return shorten(text, cells, ellipsis)
    start, taken = len(text), 0
    spans, _ = split_graphemes(text)
    for begin, _, size in reversed(spans):
        if taken + size > room // 2:
            break
        start, taken = begin, taken + size
    end, _ = fitting(text[:start], room - taken)
    return text[:end] + ellipsis + text[start:]


def told_apart(names: Sequence[str], width: int, ellipsis: str = "…") -> list[str]:
    """Names that are no longer than a width, and still differ.

    They are cut at the end where that leaves them different, else in the middle or at the start.
    Names that would be the same either way stay whole.

    Args:
        names: The names, of one cell per sign.
        width: The most cells of one.
        ellipsis: Where something was cut.
    """
    room = width - len(ellipsis)
    head = room // 2
    ways: tuple[Callable[[str], str], ...] = (
        lambda name: f"{name[:room]}{ellipsis}",
        lambda name: f"{name[:head]}{ellipsis}{name[head - room :]}",
        lambda name: f"{ellipsis}{name[-room:]}",
    )
    for way in ways:
        cut = [name if len(name) <= width else way(name) for name in names]
        if len(set(cut)) == len(set(names)):
            return cut
    return list(names)
