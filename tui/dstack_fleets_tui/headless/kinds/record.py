"""What a kind of `get` is made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui.headless.looking import Asked, Look, Source, read_project
from dstack_fleets_tui.output.payload import Item
from dstack_fleets_tui.output.table import Column
from dstack_fleets_tui.words.formatting import NOTHING


@dataclass(frozen=True)
class Kind:
    """One kind of things that `get` prints.

    Attributes:
        choose: The things that are asked for.
        columns: Of the table.
        rows: The rows of one thing, each a cell per column.
        item: The object of one thing in JSON and YAML.
        read: Reads what is asked for.
        above: Lines above the table.
        below: Lines below the table.
        notes: What can't be known, below the table or in its place, and in JSON and YAML; None
            for a kind that says it of each thing.
        nothing: What is printed in place of a table without rows; None for its header alone.
        placed: Whether the things show what the placement add-on says, and have no notes to say
            that it was not read.
        alarming: Whether the command fails where there is any.
        named: The name of a thing, by its object.
        prometheus: Writes the things of each project as Prometheus reads it; None for a kind that
            has no such form.
        identity: What an object is known by from one look to the next; None for what is not
            watched.
        past: Whether things are what happened: they are never gone, but for older ones that nobody
            asked for.
        wide: Keys of objects that wide tables have as further columns.
        order: What the things of several projects are put in order by, all of them together; they
            stay project by project where it is the same.
        document: Writes the whole as Markdown, which is its only form; None for tables.
    """

    choose: Callable[[Look, Asked], Sequence[Any]]
    columns: Sequence[Column]
    rows: Callable[[Any, Snapshot], Iterable[Sequence[str]]]
    item: Callable[[Any, Snapshot], Item]
    read: Callable[[Source, Asked], Awaitable[Look]] = read_project
    above: Callable[[Sequence[Any], Snapshot], Sequence[str]] = lambda things, snapshot: ()
    below: Callable[[Sequence[Any], Snapshot], Sequence[str]] = lambda things, snapshot: ()
    notes: Callable[[Look, Asked], Sequence[str]] | None = None
    nothing: Callable[[Look, Asked], str] | None = None
    placed: bool = False
    alarming: bool = False
    named: Callable[[Item], str] = lambda item: str(item["name"])
    prometheus: Callable[[Mapping[str, Sequence[Any]]], str] | None = None
    identity: Callable[[Item], Hashable] = lambda item: str(item["id"])
    past: bool = False
    wide: Sequence[str] = ()
    order: Callable[[Any], Any] = lambda thing: 0
    document: Callable[[Look, Asked], str] | None = None


def count(number: float | None) -> str:
    """A cell of a count that may not be known."""
    return NOTHING if number is None else str(number)
