"""The command palette."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

from textual.await_complete import AwaitComplete
from textual.command import CommandList, CommandPalette, Hit, Hits, Provider
from textual.worker import Worker

from dstack_api_client.model.every_run import every_run, run_type
from dstack_fleets_tui.actions.commands import CommandError
from dstack_fleets_tui.host.host import Host
from dstack_fleets_tui.names.selection import NoSuchNameError
from dstack_fleets_tui.screens.parts.closing import ClosesItself
from dstack_widgets.drawing.text import literal
from dstack_widgets.screen.painting import PaintsAll

#: So many names are offered, the likeliest first.
_MOST = 20


class Palette(ClosesItself, PaintsAll, CommandPalette):
    """Textual's palette, behind which nothing is closed in its place."""

    hints = ((("up", "down"), "choose"), (("enter",), "take"), (("escape",), "close"))

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


class Names(Provider):
    """Offers services, fleets and other runs by any letters of their names, in order."""

    async def search(self, query: str) -> Hits:
        """Offers those that match."""
        matcher = self.matcher(query)
        found = []
        for name, kind in self._names():
            score, offsets = matcher.fuzzy_search.match(query, name)
            if score > 0:
                found.append((score, name, kind, offsets))
        for score, name, kind, offsets in sorted(found, reverse=True)[:_MOST]:
            # Text of a server is no markup.
            shown = literal(f"{name}  ") + literal(kind, "dim")
            for at in offsets:
                shown = shown.stylize("underline", at, at + 1)
            yield Hit(score, shown, self._going_to(name, kind), text=name)

    def _names(self) -> Iterator[tuple[str, str]]:
        snapshot = cast("Host", self.app).snapshot
        if snapshot is not None:
            yield from dict.fromkeys((fleet.name, "fleet") for fleet in snapshot.fleets.values())
            yield from dict.fromkeys((run.name, run_type(run)) for run in every_run(snapshot))

    def _going_to(self, name: str, kind: str) -> Callable[[], None]:
        screen, app = self.screen, cast("Host", self.app)

        def go() -> None:
            if screen.is_active:
                try:
                    app.open_named(name, kind)
                except (CommandError, NoSuchNameError) as error:  # it went meanwhile
                    app.warn(str(error))

        return go
