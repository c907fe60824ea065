"""Taking over settings, keys and themes that were changed while the dashboard runs."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from dstack_fleets_tui.actions.commands import CommandError
from dstack_fleets_tui.settings.own_keys import USUAL_KEYS, OwnKeys
from dstack_fleets_tui.settings.settings import Settings, Values

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual.theme import Theme

#: Settings that the dashboard is built with.
_AT_START = frozenset({"ascii", "mouse", "dashboard_projects", "loss_problems"})
#: Settings that how it reads is built with.
OF_READING = frozenset({"interval", "routers_over_ssh", "insecure_http", "ca_file"})


@dataclass(frozen=True)
class Own:
    """What a user may set.

    Attributes:
        settings: The settings.
        keys: The user's own keys.
        themes: The user's own themes.
    """

    settings: Settings
    keys: OwnKeys = USUAL_KEYS
    themes: Sequence[Theme] = ()


@dataclass(frozen=True)
class Changed:
    """What became of settings that were read again.

    Attributes:
        settings: Those that count now.
        reads_again: Whether the server has to be read in another way.
        told: What changed, a sentence.
    """

    settings: Settings
    reads_again: bool
    told: str


def changed(before: Settings, read: Settings, in_the_way: Callable[[], Sequence[str]]) -> Changed:
    """Finds what is to be done about settings that were read again.

    Args:
        before: Those that counted.
        read: Those that were read.
        in_the_way: What of changes is open, a line each.

    Raises:
        CommandError: Something is being changed that another way to read would interrupt.
    """
    # One that is set nowhere stays as it was chosen, or as the terminal has it.
    read = replace(read, theme=read.theme or before.theme)
    names = {
        each.name
        for each in fields(Values)
        if getattr(before, each.name) != getattr(read, each.name)
    }
    reads_again = bool(names & OF_READING)
    if reads_again:
        for line in in_the_way():
            raise CommandError(f"{line} Finish or leave it before you reload.")
    kept = {name: getattr(before, name) for name in names & _AT_START}
    now, later = sorted(names - _AT_START), sorted(names & _AT_START)
    told = [f"Changed: {', '.join(now)}." if now else "Settings, keys and themes are read again."]
    if later:
        told.append(f"From the next start: {', '.join(later)}.")
    return Changed(replace(read, **kept), reads_again, " ".join(told))
