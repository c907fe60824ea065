"""`get KIND --watch`: all there is, and then each row or object that is new, changed or gone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from dstack_fleets_tui.headless.columns import Printed, printed_of
from dstack_fleets_tui.headless.kinds import kind_named
from dstack_fleets_tui.headless.looking import Asked, Look
from dstack_fleets_tui.output import payload
from dstack_fleets_tui.output.table import Column, GrowingTable

#: Keys of objects that are another at each look, whatever they are of.
_AT_EACH_LOOK = frozenset({"observed_at", "last_sync_at"})
_HEAD = (Column("TIME"), Column("CHANGE"))


class _Known(NamedTuple):
    """A thing as it was looked at last: what is compared of it, its object and its rows."""

    compared: object
    item: payload.Item
    rows: Sequence[Sequence[str]]


async def lines(
    each_look: AsyncIterator[Look],
    asked: Asked,
    *,
    as_json: bool,
    colour: bool = False,
    several: bool = False,
) -> AsyncIterator[str]:
    """What is printed after each look.

    Args:
        each_look: What was read.
        asked: What is asked for.
        as_json: Whether each change is an object on a line of its own.
        colour: Whether the terminal is to be sent colours.
        several: Whether looks are of several projects, each compared with the one before of its
            project.

    Raises:
        NoSuchNameError: There is nothing of that name.
        NoSuchColumnError: There is no such column.
    """
    kind = kind_named(asked.kind)
    table: GrowingTable | None = None
    columns: Printed | None = None
    before: dict[str, Mapping[Hashable, _Known]] = {}
    async for look in each_look:
        things = kind.choose(look, asked)
        if several and asked.columns and columns is None and not things:
            continue  # which keys objects have is not known yet
        if columns is None or things:
            columns = printed_of(kind, asked, ((thing, look.snapshot) for thing in things))
        if table is None:
            shown = columns.with_project if several else columns.columns
            table = GrowingTable((*_HEAD, *shown), colour=colour)
        found: dict[Hashable, _Known] = {}
        seen: Counter[Hashable] = Counter()
        for thing in things:
            item = kind.item(thing, look.snapshot)
            key = kind.identity(item)
            if key is not None:
                seen[key] += 1
                rows = columns.rows(kind, thing, look.snapshot)
                found[key, seen[key]] = _Known(_lasting(item), item, rows)
        project = look.snapshot.project
        changed = [*_changes(before.get(project, {}), found, gone=not kind.past)]
        if as_json:
            head = {"at": payload.time(look.snapshot.observed_at)}
            head |= {"in_project": project} if several else {}
            text = "".join(
                f"{json.dumps({**head, 'change': how, **known.item}, ensure_ascii=False)}\n"
                for how, known, _ in changed
            )
        else:
            at = f"{look.snapshot.observed_at.astimezone():%H:%M:%S}"
            own = (project,) if several else ()
            text = table.more(
                [(at, f"{how:<7}", *own, *row) for how, _, rows in changed for row in rows]
            )
        yield text
        before[project] = found


def _changes(
    before: Mapping[Hashable, _Known], found: Mapping[Hashable, _Known], *, gone: bool
) -> Iterator[tuple[str, _Known, Sequence[Sequence[str]]]]:
    """How each thing changed, with the rows of it that look different."""
    for key, known in found.items():
        was = before.get(key)
        if was is None:
            yield "new", known, known.rows
        elif was.compared != known.compared:
            looked = set(map(tuple, was.rows))
            yield "changed", known, [row for row in known.rows if tuple(row) not in looked]
    if gone:
        yield from (("gone", was, was.rows) for key, was in before.items() if key not in found)


def _lasting(value: Any) -> object:
    """An object without what is another at each look."""
    if isinstance(value, dict):
        return {key: _lasting(each) for key, each in value.items() if key not in _AT_EACH_LOOK}
    return [_lasting(each) for each in value] if isinstance(value, list) else value
