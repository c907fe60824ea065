"""The command palette."""

from __future__ import annotations

from textual.command import CommandPalette

from dstack_fleets_tui.screens.closing import ClosesItself
from dstack_widgets.painting import PaintsAll


class Palette(ClosesItself, PaintsAll, CommandPalette):
    """Textual's palette, behind which nothing is closed in its place."""
