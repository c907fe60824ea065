"""What Textual and Rich remember of all that was drawn, forgotten now and then.

They remember results by what they were made of: pieces of lines by their text (16,384 of them),
areas by their sides (4,096 for each thing that is done with them). What a dashboard shows has new
times and numbers all day, so these fill for hours, and nearly nothing in them comes again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.css.scalar import Scalar
from textual.fuzzy import FuzzySearch
from textual.geometry import Region

#: What remembers results of its methods.
_REMEMBERING: tuple[type, ...] = (Segment, Style, Color, Scalar, FuzzySearch, Region)


def forget_drawn() -> None:
    """Forgets them; what is drawn next is made again, which takes a few milliseconds once."""
    for cached in remembered():
        cached.cache_clear()


def remembered() -> Iterator[Any]:
    """The methods that remember, as `functools.lru_cache` makes them."""
    for kind in _REMEMBERING:
        for found in vars(kind).values():
            method = found.fget if isinstance(found, property) else found
            method = getattr(method, "__func__", method)
            if hasattr(method, "cache_clear"):
                yield method
