"""The command line (`:`): an action's name and its argument."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dstack_fleets_tui import actions

#: Short forms that fingers know from other tools.
ALIASES = {
    "q": "quit",
    "q!": "quit",
    "exit": "quit",
    "h": "help",
    "r": "refresh",
    "svc": "services",
    "rep": "replica",
}
#: Most lines that are offered.
_MOST_OFFERED = 100


class CommandError(Exception):
    """A command that can't be run; its text says why and what to do."""


def parse(text: str, screen: str) -> tuple[str, str]:
    """Finds the action a typed line names.

    Args:
        text: The line, such as `sort price`.
        screen: The screen it was typed on.

    Returns:
        The action's id and its argument.

    Raises:
        CommandError: No action, or more than one, has a name that starts so on this screen, or it
            takes no argument.
    """
    name, _, argument = text.strip().partition(" ")
    near = _meant(name, screen)
    if len(near) == 1:
        argument = argument.strip()
        if argument and not actions.BY_ID[near[0]].argument:
            raise CommandError(f":{near[0]} takes nothing after it, so {argument} has no meaning.")
        return near[0], argument
    if near:
        raise CommandError(f"{name} may be {' or '.join(near)}. Type more of it.")
    raise CommandError(f"There is no command {name!r} here. Press ? to see what there is.")


def complete(text: str, screen: str, arguments: Callable[[str], Sequence[str]]) -> list[str]:
    """Finds what a typed text may become.

    Args:
        text: What was typed so far.
        screen: The screen it was typed on.
        arguments: Gives what may follow an action's id.

    Returns:
        Whole lines: those that begin so, then those that have what was typed of a name within.
    """
    name, space, argument = text.partition(" ")
    if not space:
        known = [each for each in actions.typed_on(screen) if each != "command"]
        return [action_id for action_id in known if action_id.startswith(name)]
    near = _meant(name, screen)
    known = list(arguments(near[0])) if len(near) == 1 else []
    first = [each for each in known if each.startswith(argument)]
    within = [each for each in known if argument in each and not each.startswith(argument)]
    return [f"{name} {each}" for each in [*first, *within][:_MOST_OFFERED]]


def _meant(name: str, screen: str) -> list[str]:
    """The actions that a name, or the beginning of one, may mean."""
    name = ALIASES.get(name.lower(), name.lower().replace("-", "_"))
    known = actions.typed_on(screen)
    if name in known:
        return [name]
    return [action_id for action_id in known if name and action_id.startswith(name)]
