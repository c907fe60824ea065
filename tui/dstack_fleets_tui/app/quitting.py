"""Leaving the dashboard: at once, or after a question where something is open."""

from __future__ import annotations

from collections.abc import Sequence

from dstack_fleets_tui.changes.service import Changing
from dstack_fleets_tui.host.host import Host
from dstack_fleets_tui.screens.parts.asking import AskScreen
from dstack_fleets_tui.screens.parts.base import LiveScreen
from dstack_widgets.drawing.text import literal
from dstack_widgets.inputs.choices import Choice


class Quitting:
    """Ends the app, but not while it is open what became of a change.

    Args:
        app: The app.
        changing: Its changes.
    """

    def __init__(self, app: Host, changing: Changing) -> None:
        self._app = app
        self._changing = changing
        self._asked: AskScreen | None = None

    def quit(self, *, ask: bool = False) -> None:
        """Leaves.

        Args:
            ask: Whether to ask in any case.
        """
        unused = self._unused
        if self._changing.under_way:
            self._app.warn("A change is being sent. Wait for the outcome.")
        elif unused:
            lines = [f"Your changes to the text of {name} are not saved." for name in unused]
            self._ask("Quit and lose what you typed", lines)
        elif (work := self._open_work()) or ask:
            self._ask("Quit", work)
        else:
            self._app.exit(0)

    def in_the_way(self) -> Sequence[str]:
        """What of changes would be lost or not seen to its end elsewhere, a sentence each."""
        sent = ["A change is being sent."] if self._changing.under_way else []
        texts = (f"Your changes to the text of {name} are not saved." for name in self._unused)
        return [*sent, *texts, *self._open_work()]

    @property
    def _unused(self) -> Sequence[str]:
        return self._changing.texts.unused

    def _open_work(self) -> Sequence[str]:
        """What is open of edits and of changes that are followed, on all screens."""
        stacks = self._app._screen_stacks.values()
        screens = (screen for stack in stacks for screen in stack)
        told = (screen.open_work for screen in screens if isinstance(screen, LiveScreen))
        return [line for line in told if line]

    def _ask(self, title: str, lines: Sequence[str]) -> None:
        def answered(key: str | None) -> None:
            if key == "quit":
                self._app.exit(0)

        if self._asked is not None and self._asked.is_current:
            return
        self._asked = AskScreen(
            title,
            [literal(line) for line in lines],
            (Choice("stay", "Stay"), Choice("quit", "Quit")),
            ascii_only=self._app.ascii,
        )
        self._app.push_screen(self._asked, answered)
