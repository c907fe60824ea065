"""What to try first, shown once when the demo has started."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from textual.binding import Binding

from dstack_fleets_tui.actions import actions, key_names, places
from dstack_fleets_tui.host.host import Host
from dstack_fleets_tui.screens.parts.reading import ReadingScreen
from dstack_widgets.panels.facts import Fact, Heading


class CardScreen(ReadingScreen):
    """A card that is put away for good; keys of the lists put it away and go there."""

    BINDINGS = [
        Binding(key, f"go('{action.id}')", action.title, show=False, id=f"card.{action.id}")
        for action in actions.ACTIONS
        if action.id in places.LISTS
        for key in action.keys
    ]

    def facts(self) -> Iterable[Fact | Heading]:
        """What can be seen, and what to try."""
        enter = key_names.key_name("enter", ascii_only=self._ascii)
        yield Heading("A demo: a real dstack server with emulated hosts")
        yield Fact("1 2 3 4", "Fleets, services, problems and events. Some of it still starts.")
        yield Heading("Try")
        yield Fact(f"3 {enter}", "the worst problem, and where it is")
        yield Fact(f"2 {enter}", "a service: the lanes of its replicas, and why they are there")
        yield Fact("r w", "there: its replicas, then only those with problems")
        yield Fact("e", "there: change a number; p plans, y applies, u undoes")
        yield Fact(":fault", "make something go wrong: a space and tab list what there is")
        yield Fact("?", "the keys of any screen")
        yield Fact("q", "ends the demo; nothing of it is left")

    def action_go(self, mode: str) -> None:
        """Puts the card away and goes to a list."""
        self.answer()
        cast("Host", self.app).switch_mode(mode)
