"""`get`: one full look at a project, printed as a table, JSON or YAML."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Literal, TypeAlias

import yaml

from dstack_api_client.clock import difference
from dstack_api_client.connect.connection import Connection
from dstack_api_client.errors import ApiError
from dstack_api_client.feed.feed import Feed
from dstack_api_client.text import one_line
from dstack_api_client.transport.client import Client
from dstack_fleets_tui.headless.columns import printed_of
from dstack_fleets_tui.headless.kinds import kind_named
from dstack_fleets_tui.headless.looking import Asked, Look, Source, UnavailableError
from dstack_fleets_tui.names.selection import NoSuchNameError
from dstack_fleets_tui.output import forms, payload
from dstack_fleets_tui.output.notices import say
from dstack_fleets_tui.output.table import render

Output: TypeAlias = Literal["table", "wide", "json", "yaml", "csv", "md", "name", "prometheus"]

#: Forms that have no place for what can't be known.
_WITHOUT_NOTES = ("csv", "md", "name", "prometheus")
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
        NoSuchColumnError: There is no such column.
    """
    look = asyncio.run(observe(connection, asked))
    kind = kind_named(asked.kind)
    things = kind.choose(look, asked)
    if kind.document is not None:
        text = printed(kind.document(look, asked), plain=plain)
    elif output in ("table", "wide"):
        text = printed(table(look, asked, colour=in_colour()), plain=plain)
    else:
        text = printed(for_programs(look, asked, output))
    sys.stdout.write(text)
    for line in remarks(look, asked, output):
        say(line)
    return kind.alarming and bool(things)


def remarks(look: Look, asked: Asked, output: Output) -> Iterator[str]:
    """What is said beside what is printed: what could not be read, and a clock that is wrong."""
    kind, snapshot = kind_named(asked.kind), look.snapshot
    clocks = difference(snapshot.clock_ahead)
    if clocks:
        yield clocks
    if output in _WITHOUT_NOTES and kind.notes is not None:
        yield from kind.notes(look, asked)
    if snapshot.placement_failure and kind.placed:
        yield f"The placement add-on could not be read. {snapshot.placement_failure}"
    if kind.notes is None:  # else they are among them
        yield from snapshot.unreadable


def in_colour() -> bool:
    """Whether the output is a terminal that takes colours."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


async def observe(connection: Connection, asked: Asked) -> Look:
    """Reads what is asked for.

    Raises:
        UnavailableError: It could not be read, or not to its end.
        NoSuchNameError: There is nothing of that name.
    """
    async with Client(connection.url, connection.token, verify=connection.verify) as client:
        source = Source(client, Feed(client, connection.project))
        try:
            return await kind_named(asked.kind).read(source, asked)
        except (NoSuchNameError, UnavailableError):
            raise
        except ApiError as error:
            raise UnavailableError(error.message, error.hint) from error


def for_programs(look: Look, asked: Asked, output: Output) -> str:
    """What was read in one of the forms that are no table for a screen.

    Raises:
        NoSuchNameError: There is nothing of that name.
        NoSuchColumnError: There is no such column.
    """
    if output == "json":
        return as_json(collect(look, asked))
    if output == "yaml":
        return as_yaml(collect(look, asked))
    kind, snapshot = kind_named(asked.kind), look.snapshot
    things = kind.choose(look, asked)
    if output == "name":
        names = dict.fromkeys(kind.named(kind.item(thing, snapshot)) for thing in things)
        return lines([*names])
    if output == "prometheus":
        assert kind.prometheus is not None, asked.kind
        return kind.prometheus({snapshot.project: things})
    write = forms.as_csv if output == "csv" else forms.as_markdown
    columns = printed_of(kind, asked, ((thing, snapshot) for thing in things))
    rows = (row for thing in things for row in columns.rows(kind, thing, snapshot))
    return write(columns.columns, [*rows])


def collect(look: Look, asked: Asked) -> dict[str, Any]:
    """The object that JSON and YAML show.

    Raises:
        NoSuchNameError: There is nothing of that name.
    """
    kind = kind_named(asked.kind)
    items = [kind.item(thing, look.snapshot) for thing in kind.choose(look, asked)]
    notes = kind.notes(look, asked) if kind.notes is not None else None
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
        NoSuchColumnError: There is no such column.
    """
    kind, snapshot = kind_named(asked.kind), look.snapshot
    things = kind.choose(look, asked)
    columns = printed_of(kind, asked, ((thing, snapshot) for thing in things))
    rows = [row for thing in things for row in columns.rows(kind, thing, snapshot)]
    above, below = kind.above(things, snapshot), list(kind.below(things, snapshot))
    if kind.notes is not None:
        below += kind.notes(look, asked)
    if not things and kind.nothing is not None:
        text = lines([kind.nothing(look, asked)])
    else:
        text = render(columns.columns, rows, colour=colour)
    return lines([*above, ""] if above else ()) + text + lines(["", *below] if below else ())


def lines(texts: Iterable[str]) -> str:
    """Texts, each as a line of its own."""
    return "".join(f"{one_line(text)}\n" for text in texts)


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
