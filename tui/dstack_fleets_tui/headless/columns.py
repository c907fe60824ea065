"""Which columns `get` prints: those of a kind, more of them, or those that are named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.text import one_line
from dstack_fleets_tui.headless.kinds.record import Kind
from dstack_fleets_tui.headless.looking import Asked
from dstack_fleets_tui.output.payload import Item
from dstack_fleets_tui.output.table import Column
from dstack_fleets_tui.words.formatting import NOTHING

#: Gives a cell of a row, of the object that the row is of.
_Cell = Callable[[Sequence[str], Item], str]
_MISSING = object()
_PROJECT = Column("PROJECT")
#: What a kind's own column of that title is called beside it: a fleet may be lent.
_OWNER = "OWNER"


class NoSuchColumnError(Exception):
    """A column that a kind has not; its text says which there are."""


class Printed(NamedTuple):
    """Columns with how their cells are made."""

    columns: Sequence[Column]
    cells: Sequence[_Cell] = ()
    """None of them where they are those of the kind itself."""

    @property
    def with_project(self) -> Sequence[Column]:
        """The columns, the first of them the project that a row is of."""
        taken = _PROJECT.title
        return [
            _PROJECT,
            *(
                replace(each, title=_OWNER) if each.title == taken else each
                for each in self.columns
            ),
        ]

    def rows(self, kind: Kind, thing: Any, snapshot: Snapshot) -> list[Sequence[str]]:
        """The rows of a thing."""
        rows = [*kind.rows(thing, snapshot)]
        if not self.cells:
            return rows
        item = kind.item(thing, snapshot)
        return [[cell(row, item) for cell in self.cells] for row in rows]


def printed_of(kind: Kind, asked: Asked, things: Iterable[tuple[Any, Snapshot]]) -> Printed:
    """The columns that are asked for.

    Args:
        kind: What is printed.
        asked: What was asked for.
        things: What was found, each with the snapshot that it is in.

    Raises:
        NoSuchColumnError: The kind has no column, and its objects no key, of a name.
    """
    if asked.columns:
        items = [kind.item(thing, snapshot) for thing, snapshot in things]
        found = [_named(kind, name, items) for name in asked.columns]
    elif asked.wide and kind.wide:
        found = [_of_table(kind, number) for number in range(len(kind.columns))]
        found += [_of_object(path) for path in kind.wide]
    else:
        return Printed(kind.columns)
    return Printed([column for column, _ in found], [cell for _, cell in found])


def _named(kind: Kind, name: str, items: Sequence[Item]) -> tuple[Column, _Cell]:
    wanted = _plain(name)
    for number, column in enumerate(kind.columns):
        if _plain(column.title) == wanted:
            return _of_table(kind, number)
    path = name.strip()
    if any(_at(item, path) is not _MISSING for item in items):
        return _of_object(path)
    titles = ", ".join(_plain(column.title) for column in kind.columns)
    keys = ", ".join(dict.fromkeys(key for item in items for key in item))
    more = f" And by their keys in JSON: {keys}." if keys else ""
    raise NoSuchColumnError(f"No column is named {one_line(name)}. Columns: {titles}.{more}")


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_")


def _of_table(kind: Kind, number: int) -> tuple[Column, _Cell]:
    return kind.columns[number], lambda row, _: row[number]


def _of_object(path: str) -> tuple[Column, _Cell]:
    """A column of what stands at a key, as `replicas.min` names it."""
    title = path.replace("_", " ").replace(".", " ").upper()
    return Column(title), lambda _, item: _text(_at(item, path))


def _at(item: Any, path: str) -> Any:
    for key in path.split("."):
        if not isinstance(item, dict) or key not in item:
            return _MISSING
        item = item[key]
    return item


def _text(value: Any) -> str:
    if value is _MISSING or value is None or value == []:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and not any(isinstance(each, dict | list) for each in value):
        return ", ".join(map(str, value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
