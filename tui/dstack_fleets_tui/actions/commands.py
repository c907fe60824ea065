"""The command line (`:`): an action's name and its argument."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from dstack_api_client.text import one_line
from dstack_fleets_tui.actions import actions
from dstack_fleets_tui.actions.project_names import offered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

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


def parse(
    text: str, screen: str, aliases: Mapping[str, str] = MappingProxyType(ALIASES)
) -> tuple[str, str]:
    """Finds the action a typed line names.

    Args:
        text: The line, such as `sort price`.
        screen: The screen it was typed on.
        aliases: What stands for a command, with what it takes or without.

    Returns:
        The action's id and its argument.

    Raises:
        CommandError: No action, or more than one, has a name that starts so on this screen, or it
            takes no argument.
    """
    name, _, rest = text.strip().partition(" ")
    word, given = _stands_for(name, aliases)
    near = _meant(word, screen)
    if len(near) == 1:
        argument = f"{given} {rest}".strip()
        if argument and not actions.BY_ID[near[0]].argument:
            raise CommandError(f":{near[0]} takes no argument, but {argument} was given.")
        return near[0], argument
    if near:
        raise CommandError(f"{name} may be {' or '.join(near)}. Type more of it.")
    raise CommandError(f"There is no command {name!r} here. Press ? to see what there is.")


def complete(
    text: str,
    screen: str,
    arguments: Callable[[str], Sequence[str]],
    aliases: Mapping[str, str] = MappingProxyType(ALIASES),
) -> list[str]:
    """Finds what a typed text may become.

    Args:
        text: What was typed so far.
        screen: The screen it was typed on.
        arguments: Gives what may follow an action's id.
        aliases: What stands for a command, with what it takes or without.

    Returns:
        Whole lines: those that begin so, then those that have what was typed of a name within.
    """
    name, space, argument = text.partition(" ")
    if not space:
        known = [each for each in actions.typed_on(screen) if each != "command"]
        own = [each for each in aliases if each not in ALIASES]
        return [each for each in [*known, *own] if each.startswith(name)]
    word, given = _stands_for(name, aliases)
    near = _meant(word, screen)
    known = list(arguments(near[0])) if len(near) == 1 and not given else []
    if near == ["project"]:
        known = offered(known, argument)
    first = [each for each in known if each.startswith(argument)]
    within = [each for each in known if argument in each and not each.startswith(argument)]
    return [f"{name} {each}" for each in [*first, *within][:_MOST_OFFERED]]


def all_aliases(own: Mapping[str, str]) -> dict[str, str]:
    """The short forms that there are, with those of the settings that can be used."""
    used = {name.lower(): meaning for name, meaning in own.items() if not _wrong_with(name, own)}
    return {**ALIASES, **used}


def wrong_aliases(own: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each short form of the settings that can't be used."""
    for name in own:
        why = _wrong_with(name, own)
        if why:
            yield f"`aliases` in the settings: {one_line(name)} {why}. It is not used."


def _wrong_with(name: str, own: Mapping[str, str]) -> str:
    if not name or " " in name or not name.isprintable():
        return "is not one word"
    if name.lower() in actions.BY_ID:
        return "is the name of a command"
    word = own[name].partition(" ")[0].lower().replace("-", "_")
    word = ALIASES.get(word, word)
    if not word or not any(each.startswith(word) for each in actions.BY_ID):
        return "stands for no command"
    return ""


def _stands_for(name: str, aliases: Mapping[str, str]) -> tuple[str, str]:
    """The command that a word means, and what an alias gives it."""
    meaning = aliases.get(name.lower(), name)
    word, _, given = meaning.partition(" ")
    return ALIASES.get(word.lower(), word), given.strip()


def _meant(name: str, screen: str) -> list[str]:
    """The actions that a name, or the beginning of one, may mean."""
    name = name.lower().replace("-", "_")
    known = actions.typed_on(screen)
    if name in known:
        return [name]
    return [action_id for action_id in known if name and action_id.startswith(name)]
