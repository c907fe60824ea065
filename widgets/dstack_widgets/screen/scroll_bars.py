"""Scroll bars for terminals without Unicode."""

from __future__ import annotations

from typing import ClassVar

from textual.scrollbar import ScrollBarRender


class AsciiScrollBars(ScrollBarRender):
    """A bar of whole cells: its ends are not drawn finer than that."""

    VERTICAL_BARS: ClassVar[list[str]] = [" "] * 8
    HORIZONTAL_BARS: ClassVar[list[str]] = [" "] * 8
