"""What the app does with the terminal that it is in: its driver, its title, and its end."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from dstack_api_client.text import one_line
from dstack_fleets_tui.app.keyed import KeyedApp
from dstack_fleets_tui.terminal.terminal import notification
from dstack_fleets_tui.words import faults

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.driver import Driver

    from dstack_api_client.connect.connection import ConfigError, Connection
    from dstack_api_client.problems.model import Problem
    from dstack_fleets_tui.app.acting import Given
    from dstack_fleets_tui.live.session import Session
    from dstack_fleets_tui.settings.settings import Settings
    from dstack_fleets_tui.terminal.terminal_driver import TerminalDriver


class TerminalApp(KeyedApp):
    """The part of the app that knows its terminal; arguments as for `ActingApp`."""

    def __init__(
        self, connection: Connection | ConfigError, settings: Settings, given: Given
    ) -> None:
        super().__init__(connection, settings, given)
        self._terminal_is_gone = given.terminal_is_gone
        self._ended_by: int | None = None

    def _fatal_error(self) -> None:
        """Ends the app after a fault, with a line: Textual's own traceback has values in it."""
        error = sys.exc_info()[1] or self._exception
        if error is not None:
            from rich.text import Text

            self.panic(Text(faults.line_of(error)))

    def end(self, number: int) -> None:
        """Ends the app because a signal says so, the terminal restored."""
        if self._ended_by is None:
            self._ended_by = number
            self.changing.texts.keep_all()
            self.exit(128 + number)

    def end_soon(self) -> None:
        """Has the end wait but a moment for a terminal that takes no text."""
        if (terminal := self._terminal) is not None:
            terminal.end_soon()

    def get_driver_class(self) -> type[Driver]:
        """The driver of a terminal is ours; any other is as the environment says."""
        from textual.drivers.linux_driver import LinuxDriver

        from dstack_fleets_tui.terminal.terminal_driver import TerminalDriver

        chosen = super().get_driver_class()
        return TerminalDriver if chosen is LinuxDriver else chosen

    @property
    def _terminal(self) -> TerminalDriver | None:
        """The driver of a terminal, if there is one."""
        from dstack_fleets_tui.terminal.terminal_driver import TerminalDriver

        return self._driver if isinstance(self._driver, TerminalDriver) else None

    def _leave_with_terminal(self) -> None:
        if self._terminal_is_gone() and not self.changing.texts.is_keeping:
            self.changing.texts.keep_all()
            self.exit(1)

    def _alert(self, session: Session, new: Sequence[Problem]) -> None:
        """Has the terminal tell of critical problems that are new."""
        if not new or self._settings.alert == "off":
            return
        self.bell()
        if self._settings.alert == "notify" and self._driver is not None:
            more = f" (and {len(new) - 1} more)" if len(new) > 1 else ""
            text = one_line(f"{session.project}: {new[0].subject} {new[0].text}{more}")
            self._driver.write(notification(text, os.environ))

    def _show_title(self) -> None:
        """Shows how many problems there are where terminals are told apart."""
        from dstack_fleets_tui.words import words

        if (terminal := self._terminal) is not None:
            projects = ", ".join(each.project for each in self.sessions)
            terminal.show_title(f"{words.problems(self.all_problems)} {projects}".strip())

    def on_resize(self) -> None:
        """Paints everything again.

        A terminal that is made smaller and as large again has lost what was cut away, and Textual
        finds no change.
        """
        if self.front is not None:
            self.front.refresh()
