"""The dashboard from its first frame on, which is painted before most of it is loaded.

What this module needs comes before the first frame: a test names the modules. All else is loaded
in a thread once that is on the screen, while a line says what is read; what is typed meanwhile
waits for the first list.
"""

from __future__ import annotations

import asyncio
import gc
from importlib import import_module
from typing import TYPE_CHECKING, cast

from textual.screen import Screen
from textual.widgets import Static

from dstack_fleets_tui.actions import actions, places
from dstack_fleets_tui.app.app import FleetsApp
from dstack_widgets.screen.status_header import KeysFooter, StatusHeader

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from dstack_fleets_tui.host.host import Host

_OPENING = "opening"
#: What the first list and the first read need, and then what is likely to be opened.
_FIRST = ("dstack_fleets_tui.screens.fleets", "dstack_fleets_tui.live.source")
_THEN = (
    "dstack_fleets_tui.live.lookout",
    "dstack_api_client.trends.watch",
    "dstack_fleets_tui.changes.service",
    "dstack_fleets_tui.app.going",
    "dstack_fleets_tui.screens.services",
    "dstack_fleets_tui.screens.problems",
    "dstack_fleets_tui.screens.service.service",
    "dstack_fleets_tui.screens.fleet",
    "dstack_fleets_tui.screens.replica",
    "dstack_fleets_tui.screens.parts.palette",
)


class OpeningScreen(Screen[None]):
    """What stands there before the first list does: which project is read, and from where."""

    DEFAULT_CSS = """
    OpeningScreen {
        background: $background;
    }
    OpeningScreen #reading {
        height: 1fr;
        padding: 2 1 0 1;
        color: $text-muted;
    }
    """

    def compose(self) -> ComposeResult:
        """Lays out the frame of a list."""
        app = cast("Host", self.app)
        header = StatusHeader(glyphs=app.glyphs)
        header.show(app.header_state())
        yield header
        yield Static(app.empty_text("fleets"), id="reading", markup=False)
        yield KeysFooter(
            actions.footer(places.FLEETS, ascii_only=app.ascii, writes=not app.read_only)
        )


class OpeningApp(FleetsApp):
    """The dashboard as it is started in a terminal."""

    MODES = {**FleetsApp.MODES, _OPENING: OpeningScreen}
    DEFAULT_MODE = _OPENING

    def begin(self) -> None:
        """Begins once the first frame is painted."""
        self.hold_keys()
        self.call_after_refresh(lambda: self.run_worker(self._open(), group=_OPENING))

    async def _open(self) -> None:
        """Loads the dashboard, and shows the fleets."""
        await asyncio.to_thread(_load, _FIRST)
        await self.switch_mode(FleetsApp.DEFAULT_MODE)
        await self.remove_mode(_OPENING)
        super().begin()
        await self.release_keys()
        await asyncio.to_thread(_load, _THEN)


def _load(modules: tuple[str, ...]) -> None:
    """Imports modules; what they leave stays, and no collection has to walk through it."""
    gc.disable()
    for module in modules:
        import_module(module)
    gc.freeze()
    gc.enable()
