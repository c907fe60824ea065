"""One thing a user can ask for."""

from __future__ import annotations

from dataclasses import dataclass

from dstack_fleets_tui.actions.places import WATCHING


@dataclass(frozen=True)
class Action:
    """One thing a user can ask for.

    Attributes:
        id: Names it in settings, on the command line (`:`) and in `do_<id>` of the screens.
        keys: Textual's names of the keys that trigger it.
        title: The word in the footer.
        help: One sentence for the help screen and the docs.
        screens: Where it exists; empty for everywhere.
        argument: What the command line takes after its name, if anything.
        footer: Whether the footer shows it, or on which screens.
        writes: Whether it changes something on the server.
        anywhere: Whether its command can be typed wherever something is read, where its key does
            nothing too.
        demo: Whether it is for the demo only.
        replay: Whether it is for a replay only.
    """

    id: str
    keys: tuple[str, ...]
    title: str
    help: str
    screens: tuple[str, ...] = ()
    argument: str = ""
    footer: bool | tuple[str, ...] = False
    writes: bool = False
    anywhere: bool = False
    demo: bool = False
    replay: bool = False

    def on(self, screen: str) -> bool:
        """Whether the action exists on a screen."""
        return not self.screens or screen in self.screens

    def typed_on(self, screen: str) -> bool:
        """Whether its command can be typed on a screen."""
        return self.on(screen) or (self.anywhere and screen in WATCHING)

    def in_footer(self, screen: str) -> bool:
        """Whether the footer of a screen shows it."""
        return screen in self.footer if isinstance(self.footer, tuple) else self.footer
