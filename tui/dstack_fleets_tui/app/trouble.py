"""Trouble that only the user can fix: a screen over all others, until it is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dstack_fleets_tui.actions import places

if TYPE_CHECKING:
    from dstack_fleets_tui.host.host import Host
    from dstack_fleets_tui.screens.trouble import TroubleScreen


class Trouble:
    """Opens the screen of trouble, and closes it.

    Args:
        app: The app.
    """

    def __init__(self, app: Host) -> None:
        self._app = app
        self._screen: TroubleScreen | None = None
        self._said = ""

    @property
    def is_open(self) -> bool:
        """Whether its screen is open."""
        return self._screen is not None

    def show(self, message: str, hint: str) -> None:
        """Opens the screen; while something is worked on, a notice has to do.

        Args:
            message: What is wrong.
            hint: What to do about it.
        """
        if self._screen is not None:
            self._screen.show(message, hint)
            return
        from dstack_fleets_tui.screens.parts.base import LiveScreen
        from dstack_fleets_tui.screens.trouble import TroubleScreen

        front = self._app.front
        if self._is_worked_on:
            # It comes up when that is left.
            if self._said != message:
                self._app.warn(f"{message} {hint}")
            self._said = message
            return
        if isinstance(front, LiveScreen):
            front.show_state()  # for the last time: it is behind from now on
        self._screen = TroubleScreen(message, hint, ascii_only=self._app.ascii)
        self._app.push_screen(self._screen)

    @property
    def _is_worked_on(self) -> bool:
        """Whether something is typed or read in front that nothing may open over by itself."""
        from textual.widgets import Input

        from dstack_fleets_tui.screens.parts.base import LiveScreen

        screen = self._app.front
        at_rest = isinstance(screen, LiveScreen) and screen.name_of_screen in places.TABLES
        return not at_rest or isinstance(self._app.focused, Input)

    def end(self) -> None:
        """Closes the screen: the trouble is over."""
        self._said = ""
        screen, self._screen = self._screen, None
        if screen is not None:
            from dstack_fleets_tui.screens.parts.palette import Palette

            # The palette before it offers what can be done there.
            for other in self._app.screen_stack:
                if isinstance(other, Palette):
                    other.dismiss()
            screen.dismiss()
