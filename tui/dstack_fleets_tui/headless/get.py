"""`get`: one full look at a project, printed as a table, JSON or YAML."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import yaml

from dstack_api_client.clock import difference
from dstack_api_client.connect.connection import Connection
from dstack_api_client.text import one_line
from dstack_fleets_tui.headless.kinds import SHOWN
from dstack_fleets_tui.headless.looking import Asked, Look, observe
from dstack_fleets_tui.output import payload
from dstack_fleets_tui.output.notices import say
from dstack_fleets_tui.output.table import render

Output: TypeAlias = Literal["table", "json", "yaml"]

#: What is shown with what the placement add-on says, and has no notes to say that it was not read.
_PLACED = ("services", "replicas", "router")
#: Signs that a terminal without Unicode is spared, each with one of the same width.
_PLAIN = str.maketrans({"–": "-", "…": "~"})


def get(connection: Connection, asked: Asked, output: Output, *, plain: bool = False) -> bool:
    """Reads a project once and prints a part of it.

    Args:
        connection: Where to read.
        asked: Which part.
        output: In which form.
        plain: Whether a table is kept to ASCII where that is not up to names.

    Returns:
        Whether problems were asked for and found.

    Raises:
        ApiError: The server could not be read, or has nothing of that name.
    """
    look = asyncio.run(observe(connection, asked))
    clocks = difference(look.snapshot.clock_ahead)
    if clocks:
        sys.stderr.write(f"{clocks}\n")
    things = SHOWN[asked.kind].choose(look, asked)
    if output == "table":
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        text = printed(table(look, asked, colour=colour), plain=plain)
    else:
        whole = collect(look, asked)
        text = printed(as_json(whole) if output == "json" else as_yaml(whole))
    sys.stdout.write(text)
    failure = look.snapshot.placement_failure
    if failure and asked.kind in _PLACED:
        say(f"The placement add-on could not be read. {failure}")
    if asked.kind != "problems":  # there they are among the notes
        for message in look.snapshot.unreadable:
            say(message)
    return asked.kind == "problems" and bool(things)


def collect(look: Look, asked: Asked) -> dict[str, Any]:
    """The object that JSON and YAML show.

    Raises:
        NoSuchNameError: There is nothing of that name.
    """
    shown = SHOWN[asked.kind]
    items = [shown.item(thing, look) for thing in shown.choose(look, asked)]
    notes = shown.notes(look, asked) if shown.notes is not None else None
    return payload.envelope(look.snapshot, asked.kind, items, notes)


def printed(text: str, *, plain: bool | None = None) -> str:
    """A text as the output can hold it.

    Args:
        text: What is printed.
        plain: Whether a table is kept to ASCII where that is not up to names; None for what is no
            table.
    """
    if plain is not None and (plain or not _unicode()):
        text = text.translate(_PLAIN)
    if not _unicode():
        encoding = sys.stdout.encoding or "ascii"
        text = text.encode(encoding, "backslashreplace").decode(encoding)
    return text


def table(look: Look, asked: Asked, *, colour: bool = False) -> str:
    """The same as a table.

    Raises:
        NoSuchNameError: There is nothing of that name.
    """
    shown = SHOWN[asked.kind]
    things = shown.choose(look, asked)
    rows = [row for thing in things for row in shown.rows(thing, look)]
    above, below = shown.above(things, look), list(shown.below(things, look))
    if shown.notes is not None:
        below += shown.notes(look, asked)
    if not things and shown.nothing is not None:
        text = _lines([shown.nothing(look, asked)])
    else:
        text = render(shown.columns, rows, colour=colour)
    return _lines([*above, ""] if above else ()) + text + _lines(["", *below] if below else ())


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"{one_line(line)}\n" for line in lines)


def as_json(whole: dict[str, Any]) -> str:
    """Writes an object as JSON, other than ASCII escaped where the output can't hold it."""
    return json.dumps(whole, indent=2, ensure_ascii=not _unicode()) + "\n"


def as_yaml(whole: dict[str, Any]) -> str:
    """Writes an object as YAML, with the C library where PyYAML has it: it is ten times faster."""
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(whole, Dumper=dumper, sort_keys=False, allow_unicode=_unicode())
    return text


def _unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
