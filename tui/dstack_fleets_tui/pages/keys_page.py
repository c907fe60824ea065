"""Writes docs/keys.md from the registry of actions (`make docs`)."""

from __future__ import annotations

import sys

from dstack_fleets_tui.actions import actions, key_names, places
from dstack_fleets_tui.actions.commands import ALIASES
from dstack_fleets_tui.screens.help import (
    ANSWER_KEYS,
    FIELD_KEYS,
    GENERAL_KEYS,
    LOG_KEYS,
    PALETTE_KEYS,
    TABLE_KEYS,
)

#: Places that are many.
_MANY = {
    places.TABLES: "where there are lists",
    places.READ: "where there are lists, and in logs",
    places.SEARCHED: "where there are lists, in logs and on plans",
    places.WATCHING: "where there are lists, in logs and charts",
}


def _short_forms() -> list[str]:
    return [f"`:{short}` for `:{name}`" for short, name in ALIASES.items()]


def page() -> str:
    """The page, as Markdown."""
    lines = [
        "# Keys and commands",
        "",
        "Press `?` on any screen for its keys. Type `:` and a command's name, or the first letters",
        "of it, with what it takes: `:sort price`, `:open gpu-spot`. `Tab` completes names,",
        "by any part of them: `:svc 70b`. A replica is `chat/5`, an instance `gpu-spot-0` or",
        "`gpu-spot/0`.",
        "",
        f"Short forms: {', '.join(_short_forms())}.",
        "",
        "| key | command | where | what it does |",
        "| --- | --- | --- | --- |",
    ]
    for action in actions.ACTIONS:
        keys = " ".join(f"`{key_names.key_name(key)}`" for key in action.keys)
        # A pipe ends a cell of a table, in code too.
        argument = action.argument.replace("|", "\\|")
        command = f"`:{action.id}{' ' + argument if argument else ''}`"
        where = _MANY.get(action.screens)
        where = where or ", ".join(action.screens) or "everywhere"
        where += "; its command like that of `1`" if action.anywhere else ""
        lines.append(f"| {keys} | {command} | {where} | {action.help} |")
    lines += [f"| `{keys}` |  |  | {text} |" for keys, text in PALETTE_KEYS + GENERAL_KEYS]
    lines += ["", "In a table:", "", "| key | what it does |", "| --- | --- |"]
    lines += [f"| `{keys}` | {text} |" for keys, text in TABLE_KEYS]
    for title, own in (
        ("In logs", LOG_KEYS),
        ("In a field of an editor", FIELD_KEYS),
        ("On a plan", ANSWER_KEYS),
    ):
        lines += ["", f"{title}:", "", "| key | what it does |", "| --- | --- |"]
        lines += [f"| `{keys}` | {text} |" for keys, text in own]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
