"""`get problems --watch`: what is wrong, and then each change of it as it comes."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Literal

from dstack_api_client.connect.connection import Connection
from dstack_api_client.errors import ApiError
from dstack_api_client.feed.feed import Feed
from dstack_api_client.problems.model import Problem
from dstack_api_client.text import one_line
from dstack_api_client.transport.client import Client
from dstack_fleets_tui.headless.get import printed
from dstack_fleets_tui.headless.kinds import problems
from dstack_fleets_tui.headless.looking import Asked, Look, Source, UnavailableError
from dstack_fleets_tui.output import payload
from dstack_fleets_tui.output.notices import say

Change = tuple[Literal["new", "changed", "gone"], Problem]


def watch(
    connection: Connection, asked: Asked, *, interval: float, as_json: bool, plain: bool
) -> None:
    """Prints what is wrong and each change of it, a line each, until it is interrupted.

    Args:
        connection: Where to read.
        asked: Which problems.
        interval: Seconds from the end of one read to the next.
        as_json: Whether each line is an object.
        plain: Whether lines are kept to ASCII where that is not up to names.

    Raises:
        ApiError: The server could not be read the first time, or has nothing of that name.
    """
    asyncio.run(_watch(connection, asked, interval, as_json=as_json, plain=plain))


async def _watch(
    connection: Connection, asked: Asked, interval: float, *, as_json: bool, plain: bool
) -> None:
    async with Client(connection.url, connection.token, verify=connection.verify) as client:
        source = Source(client, Feed(client, connection.project))
        async with aclosing(looks(source, asked, interval)) as each_look:  # type: ignore[type-var]
            async for text in lines(each_look, asked, as_json=as_json):
                sys.stdout.write(printed(text, plain=None if as_json else plain))
                sys.stdout.flush()


async def looks(source: Source, asked: Asked, interval: float) -> AsyncIterator[Look]:
    """Reads again and again; that a later read fails is said once, and ends nothing.

    Raises:
        UnavailableError: The server could not be read the first time.
    """
    told = ""
    first = True
    while True:
        try:
            look = await problems.read(source, asked, full=first)
        except ApiError as error:
            if first:
                raise UnavailableError(error.message, error.hint) from error
            if error.message != told:
                say(f"{error.message} {error.hint}".strip())
            told = error.message
        else:
            first, told = False, ""
            yield look
        await asyncio.sleep(interval)


async def lines(
    each_look: AsyncIterator[Look], asked: Asked, *, as_json: bool
) -> AsyncIterator[str]:
    """What is printed, a line for each change.

    Args:
        each_look: What was read.
        asked: Which problems.
        as_json: Whether each line is an object.
    """
    before: Mapping[str, Problem] = {}
    async for look in each_look:
        found = {each.key: each for each in problems.choose(look, asked)}
        for change in changes(before, found.values()):
            yield _as_json(change, look) if as_json else _as_text(change, look)
        before = found


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


def _as_json(change: Change, look: Look) -> str:
    how, problem = change
    head = {"at": payload.time(look.snapshot.observed_at), "change": how}
    return f"{json.dumps({**head, **problems.item(problem, look.snapshot)})}\n"


def _as_text(change: Change, look: Look) -> str:
    how, problem = change
    at = look.snapshot.observed_at.astimezone()
    severity = problem.severity.name.lower()
    told = f"{at:%H:%M:%S}  {how:<8}  {severity:<8}  {problem.subject}: {problem.text}"
    return f"{one_line(told)}\n"
