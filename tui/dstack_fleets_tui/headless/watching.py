"""`get --watch`: what there is, and then each change of it as it comes."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from typing import Literal

from dstack_api_client.connect.connection import Connection
from dstack_api_client.errors import ApiError
from dstack_api_client.feed.feed import Feed
from dstack_api_client.problems.model import Problem
from dstack_api_client.text import one_line
from dstack_api_client.transport.client import Client
from dstack_fleets_tui.headless import changed_rows
from dstack_fleets_tui.headless.get import in_colour, printed
from dstack_fleets_tui.headless.kinds import kind_named, problems
from dstack_fleets_tui.headless.looking import Asked, Look, Source, UnavailableError
from dstack_fleets_tui.output import payload
from dstack_fleets_tui.output.notices import say

Change = tuple[Literal["new", "changed", "gone"], Problem]


def watch(
    *connections: Connection, asked: Asked, interval: float, as_json: bool, plain: bool
) -> None:
    """Prints what there is and each change of it, a line each, until it is interrupted.

    Args:
        connections: Where to read, project by project.
        asked: What of it.
        interval: Seconds from the end of one read to the next.
        as_json: Whether each line is an object.
        plain: Whether lines are kept to ASCII where that is not up to names.

    Raises:
        ApiError: The server of the one project could not be read the first time, or has nothing of
            that name.
    """
    asyncio.run(_watch(connections, asked, interval, as_json=as_json, plain=plain))


async def _watch(
    connections: Sequence[Connection],
    asked: Asked,
    interval: float,
    *,
    as_json: bool,
    plain: bool,
) -> None:
    several = len(connections) > 1
    async with AsyncExitStack() as stack:
        found = []
        for each in connections:
            client = Client(each.url, each.token, verify=each.verify)
            source = Source(await stack.enter_async_context(client), Feed(client, each.project))
            project = each.project if several else None
            found.append(looks(source, asked, interval, project))
        each_look = together(found) if several else found[0]
        await stack.enter_async_context(aclosing(each_look))  # type: ignore[type-var]
        changed = (
            lines(each_look, asked, as_json=as_json, several=several)
            if asked.kind == "problems"
            else changed_rows.lines(
                each_look, asked, as_json=as_json, colour=in_colour(), several=several
            )
        )
        async for text in changed:
            sys.stdout.write(printed(text, plain=None if as_json else plain))
            sys.stdout.flush()


async def together(found: Sequence[AsyncIterator[Look]]) -> AsyncIterator[Look]:
    """The looks of several projects as they come; none waits for another."""
    come: asyncio.Queue[Look | BaseException] = asyncio.Queue()

    async def take(looks: AsyncIterator[Look]) -> None:
        try:
            async for look in looks:
                await come.put(look)
        except Exception as error:
            await come.put(error)

    tasks = [asyncio.create_task(take(each)) for each in found]
    try:
        while True:
            look = await come.get()
            if isinstance(look, BaseException):
                raise look
            yield look
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def looks(
    source: Source, asked: Asked, interval: float, project: str | None = None
) -> AsyncIterator[Look]:
    """Reads again and again; that a later read fails is said once, and ends nothing.

    Args:
        source: Where to read.
        asked: What is asked for.
        interval: Seconds from the end of one read to the next.
        project: The project, where it is one of several: that it can't be read, or has nothing of
            the name that is asked for, ends nothing, the first time as later.

    Raises:
        UnavailableError: The server of the one project could not be read the first time.
    """
    told = ""
    first = True
    while True:
        kind = kind_named(asked.kind)
        try:
            look = await kind.read(replace(source, again=not first), asked)
            if project is not None and asked.name is not None:
                kind.choose(look, asked)  # which fails where there is nothing of the name
        except ApiError as error:
            if first and project is None:
                raise UnavailableError(error.message, error.hint) from error
            if error.message != told:
                say(f"{project}: {error}" if project is not None else str(error))
            told = error.message
        else:
            first, told = False, ""
            source.feed.focus(services=look.snapshot.services, fleets=look.snapshot.fleets)
            yield look
        await asyncio.sleep(interval)


async def lines(
    each_look: AsyncIterator[Look], asked: Asked, *, as_json: bool, several: bool = False
) -> AsyncIterator[str]:
    """What is printed of problems, a line for each change.

    Args:
        each_look: What was read.
        asked: Which problems.
        as_json: Whether each line is an object.
        several: Whether looks are of several projects, and each line names the one it is of.
    """
    before: dict[str, Mapping[str, Problem]] = {}
    write = _as_json if as_json else _as_text
    async for look in each_look:
        project = look.snapshot.project
        found = {each.key: each for each in problems.choose(look, asked)}
        for change in changes(before.get(project, {}), found.values()):
            yield write(change, look, several)
        before[project] = found


def changes(before: Mapping[str, Problem], found: Iterable[Problem]) -> Iterator[Change]:
    """What is new, what is said or weighed differently, and what is gone.

    Args:
        before: The problems of the look before, by key.
        found: Those of this one.
    """
    there = set()
    for problem in found:
        there.add(problem.key)
        known = before.get(problem.key)
        if known is None:
            yield "new", problem
        elif _said(known) != _said(problem):
            yield "changed", problem
    yield from (("gone", known) for key, known in before.items() if key not in there)


def _said(problem: Problem) -> Sequence[object]:
    return problem.severity, problem.text, problem.affects


def _as_json(change: Change, look: Look, several: bool) -> str:
    how, problem = change
    head = {"at": payload.time(look.snapshot.observed_at)}
    head |= {"in_project": look.snapshot.project} if several else {}
    head |= {"change": how}
    return f"{json.dumps({**head, **problems.item(problem, look.snapshot)})}\n"


def _as_text(change: Change, look: Look, several: bool) -> str:
    how, problem = change
    at = look.snapshot.observed_at.astimezone()
    severity = problem.severity.name.lower()
    of = f"{look.snapshot.project}/" if several else ""
    told = f"{at:%H:%M:%S}  {how:<8}  {severity:<8}  {of}{problem.subject}: {problem.text}"
    return f"{one_line(told)}\n"
