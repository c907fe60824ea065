"""`get` of several projects: each is read on a connection of its own, all rows are one table."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from dstack_api_client.connect.connection import ConfigError, Connection
from dstack_api_client.errors import ApiError
from dstack_fleets_tui.headless.columns import printed_of
from dstack_fleets_tui.headless.get import (
    Output,
    as_json,
    as_yaml,
    in_colour,
    lines,
    observe,
    printed,
    remarks,
)
from dstack_fleets_tui.headless.kinds import kind_named
from dstack_fleets_tui.headless.kinds.record import Kind
from dstack_fleets_tui.headless.looking import Asked, Look
from dstack_fleets_tui.names.selection import NoSuchNameError
from dstack_fleets_tui.output import forms, payload
from dstack_fleets_tui.output.notices import say
from dstack_fleets_tui.output.table import Column, render


class Outcome(NamedTuple):
    """What became of it.

    Attributes:
        wrong: Whether problems were asked for and found.
        unread: Whether a project could not be read.
    """

    wrong: bool
    unread: bool


@dataclass(frozen=True)
class Part:
    """What was read of one project.

    Attributes:
        project: Its name.
        look: What was read; None where that failed.
        things: What of it was asked for.
        failure: Why it could not be read, or has nothing of the name that was asked for.
    """

    project: str
    look: Look | None = None
    things: Sequence[Any] = ()
    failure: ApiError | None = None

    @property
    def unread(self) -> bool:
        """Whether it could not be read."""
        return self.failure is not None and not isinstance(self.failure, NoSuchNameError)


def get_of_several(
    connections: Mapping[str, Connection | ConfigError],
    asked: Asked,
    output: Output,
    *,
    plain: bool = False,
) -> Outcome:
    """Reads projects at once and prints a part of each; one that fails is named.

    Args:
        connections: Where each project is, or why that is not known.
        asked: Which part.
        output: In which form.
        plain: Whether a table is kept to ASCII where that is not up to names.

    Raises:
        NoSuchNameError: None of them has anything of that name, and all were read.
        NoSuchColumnError: There is no such column.
    """
    parts = asyncio.run(read_several(connections, asked))
    unread = [part for part in parts if part.unread]
    found = [part for part in parts if part.look is not None]
    if not found and not unread:
        raise NoSuchNameError(" ".join(str(part.failure) for part in parts), "")
    kind = kind_named(asked.kind)
    if kind.document is not None:
        texts = (kind.document(part.look, asked) for part in found if part.look is not None)
        text = printed("\n".join(texts), plain=plain)
    elif output in ("json", "yaml"):
        write = as_json if output == "json" else as_yaml
        text = printed(write(collect(parts, asked)))
    elif output in ("csv", "md", "name", "prometheus"):
        text = printed(for_programs(found, asked, output))
    elif found:
        text = printed(table(found, asked, colour=in_colour()), plain=plain)
    else:
        text = ""
    sys.stdout.write(text)
    for part in found:
        assert part.look is not None
        for line in remarks(part.look, asked, output):
            say(f"{part.project}: {line}")
    for part in unread:
        say(f"{part.project}: {part.failure}")
    wrong = kind.alarming and any(part.things for part in found)
    return Outcome(wrong, bool(unread))


async def read_several(
    connections: Mapping[str, Connection | ConfigError], asked: Asked
) -> Sequence[Part]:
    """Reads projects at once, each on a connection of its own."""
    kind = kind_named(asked.kind)

    async def read(project: str, connection: Connection | ConfigError) -> Part:
        try:
            if isinstance(connection, ConfigError):
                raise connection
            look = await observe(connection, asked)
            return Part(project, look, kind.choose(look, asked))
        except ApiError as error:
            return Part(project, failure=error)

    return await asyncio.gather(*(read(*each) for each in connections.items()))


def collect(parts: Sequence[Part], asked: Asked) -> dict[str, Any]:
    """The object that JSON and YAML show: of each project the object that one alone has."""
    kind = kind_named(asked.kind)
    projects: list[dict[str, Any]] = []
    for part in parts:
        if part.look is not None:
            items = [kind.item(thing, part.look.snapshot) for thing in part.things]
            notes = kind.notes(part.look, asked) if kind.notes is not None else None
            projects.append(payload.envelope(part.look.snapshot, asked.kind, items, notes))
        elif part.unread:
            projects.append(unread_item(part))
    return {"version": payload.VERSION, "projects": projects}


def unread_item(part: Part) -> dict[str, Any]:
    """The object of a project that could not be read."""
    assert part.failure is not None
    error = {"message": part.failure.message, "hint": part.failure.hint or None}
    return {"version": payload.VERSION, "project": part.project, "error": error}


def for_programs(found: Sequence[Part], asked: Asked, output: Output) -> str:
    """What was read in one of the forms that are no table for a screen.

    Raises:
        NoSuchColumnError: There is no such column.
    """
    kind = kind_named(asked.kind)
    if output == "name":
        named = (
            f"{part.project}/{kind.named(kind.item(thing, look.snapshot))}"
            for part, look, thing in _ordered(found, kind)
        )
        return lines(dict.fromkeys(named))
    if output == "prometheus":
        assert kind.prometheus is not None, asked.kind
        return kind.prometheus({part.project: part.things for part in found})
    write = forms.as_csv if output == "csv" else forms.as_markdown
    return write(*_rows(found, asked, kind))


def table(found: Sequence[Part], asked: Asked, *, colour: bool = False) -> str:
    """The same as a table, and below it what can't be known, by project.

    Raises:
        NoSuchColumnError: There is no such column.
    """
    kind = kind_named(asked.kind)
    looks = [(part.project, part.look) for part in found if part.look is not None]
    above: list[str] = []
    below: list[str] = []
    for part in found:
        if part.look is not None:
            snapshot = part.look.snapshot
            above += (f"{part.project}: {line}" for line in kind.above(part.things, snapshot))
            notes = kind.notes(part.look, asked) if kind.notes is not None else ()
            told = (*kind.below(part.things, snapshot), *notes)
            below += (f"{part.project}: {line}" for line in told)
    if kind.nothing is not None and not any(part.things for part in found):
        text = lines(f"{project}: {kind.nothing(look, asked)}" for project, look in looks)
    else:
        text = render(*_rows(found, asked, kind), colour=colour)
    return lines([*above, ""] if above else ()) + text + lines(["", *below] if below else ())


def _rows(
    found: Sequence[Part], asked: Asked, kind: Kind
) -> tuple[Sequence[Column], Sequence[Sequence[str]]]:
    ordered = [*_ordered(found, kind)]
    columns = printed_of(kind, asked, ((thing, look.snapshot) for _, look, thing in ordered))
    rows = [
        [part.project, *row]
        for part, look, thing in ordered
        for row in columns.rows(kind, thing, look.snapshot)
    ]
    return columns.with_project, rows


def _ordered(found: Sequence[Part], kind: Kind) -> Sequence[tuple[Part, Look, Any]]:
    """Every thing with where it is, in the order of the kind, whatever project it is of."""
    each = ((part, part.look, thing) for part in found for thing in part.things if part.look)
    return sorted(each, key=lambda one: kind.order(one[2]))
