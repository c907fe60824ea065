"""The command palette."""

from __future__ import annotations

from textual.await_complete import AwaitComplete
from textual.command import CommandList, CommandPalette
from textual.worker import Worker

from dstack_fleets_tui.screens.parts.closing import ClosesItself
from dstack_widgets.painting import PaintsAll


class Palette(ClosesItself, PaintsAll, CommandPalette):
    """Textual's palette, behind which nothing is closed in its place."""

    def dismiss(self, result: None = None) -> AwaitComplete:
        """Closes, once, and looks for commands no more."""
        self._cancel_gather_commands()
        return super().dismiss(result)

    def _gather_commands(self, search_value: str) -> Worker[None] | None:  # type: ignore[override]
        """Looks for commands, unless it was closed before it was there."""
        if any(self in stack for stack in self.app._screen_stacks.values()):
            return super()._gather_commands(search_value)
        return None

    def _action_command_list(self, action: str) -> None:
        """Moves in the list; by pages once it has lines, which Textual takes for granted."""
        if self.query_one(CommandList).scrollable_content_region or not action.startswith("page"):
            super()._action_command_list(action)
