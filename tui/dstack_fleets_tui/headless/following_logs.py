"""`get logs --follow`: lines as they come, until it is interrupted."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from dstack_api_client.connect.connection import Connection
from dstack_api_client.feed.feed import Feed
from dstack_api_client.feed.update import ConnectionState
from dstack_api_client.replica.logs import LogLine
from dstack_api_client.replica.service_logs import ServiceLogs, ServiceOutput, writers
from dstack_api_client.transport.client import Client
from dstack_fleets_tui.headless.get import Output, in_colour, printed
from dstack_fleets_tui.headless.kinds import logs as kind
from dstack_fleets_tui.headless.looking import Asked, Source, Written, poll
from dstack_fleets_tui.names.selection import NoSuchNameError
from dstack_fleets_tui.output.notices import say
from dstack_fleets_tui.output.table import GrowingTable

Print = Callable[[Sequence[Written]], None]


def follow_logs(
    connection: Connection, asked: Asked, output: Output, interval: float, *, plain: bool
) -> None:
    """Prints the logs of a service, and goes on with what is written later.

    Args:
        connection: Where to read.
        asked: Of which service, and of which of its replicas.
        output: A table, or JSON: an object on each line.
        interval: Seconds between two reads.
        plain: Whether a table is kept to ASCII.

    Raises:
        ApiError: The server could not be read, or has nothing of that name.
    """
    show = _as_json if output == "json" else _Table(plain=plain)
    asyncio.run(_follow(connection, asked, show, interval))


async def _follow(connection: Connection, asked: Asked, show: Print, interval: float) -> None:
    async with Client(connection.url, connection.token, verify=connection.verify) as client:
        feed = Feed(client, connection.project)
        await follow(Source(client, feed), asked, show, interval)


async def follow(source: Source, asked: Asked, show: Print, interval: float) -> None:
    """Reads and prints until it is cancelled; what fails is said once and tried again."""
    feed = source.feed
    snapshot = await poll(feed, full=True)
    service, replicas = kind.chosen(snapshot, asked)
    logs = ServiceLogs(
        source.client, snapshot.project, back=asked.back, now=source.client.server_now
    )
    logs.follow(writers(replicas))
    said: set[str] = set()
    output = await kind.whole(logs)
    printing = _Unfinished()
    show(kind.written(printing.of(output, output.lines), replicas))
    while True:
        for note in (*kind.notes_of(logs.state), feed.health.message or ""):
            if note and note not in said:
                said.add(note)
                say(note)
        await asyncio.sleep(interval)
        feed.focus(opened_service=service.id)
        async for _ in feed.poll():
            continue
        if feed.snapshot is not None and feed.health.state is ConnectionState.LIVE:
            if service.id not in feed.snapshot.services:
                show(kind.written(printing.rest(), replicas))
                return
            with suppress(NoSuchNameError):  # the one that was named may come again
                replicas = kind.chosen(feed.snapshot, asked)[1]
            logs.follow(writers(replicas))
        async for output in logs.poll():
            show(kind.written(printing.of(output, output.added), replicas))


class _Unfinished:
    """Keeps a line back until it is finished, so that it is printed once.

    One that nothing is added to between two reads, such as a question, is printed as it is; what
    comes behind it later is a line of its own.
    """

    def __init__(self) -> None:
        self._kept: dict[int, LogLine] = {}
        self._printed: dict[int, LogLine] = {}

    def of(self, output: ServiceOutput, lines: Sequence[LogLine]) -> list[LogLine]:
        """Those of some lines to be printed now, and those kept back that are due.

        Args:
            output: What the last poll brought.
            lines: The lines that are new.
        """
        unfinished = {id(line): line for line in output.unfinished}
        replaced = set(map(id, output.replaced))
        stood_still = [line for key, line in self._kept.items() if key not in replaced]
        begun = {line.of: line for key, line in self._printed.items() if key in replaced}
        new = [line for line in lines if id(line) not in unfinished]
        was_printed = {**self._printed, **{id(line): line for line in stood_still}}
        self._printed = {key: line for key, line in was_printed.items() if key in unfinished}
        self._kept = {key: line for key, line in unfinished.items() if key not in self._printed}
        return [*stood_still, *(line for each in new if (line := _behind(each, begun)))]

    def rest(self) -> list[LogLine]:
        """The lines that are kept back still."""
        return [*self._kept.values()]


def _behind(line: LogLine, begun: dict[str, LogLine]) -> LogLine | None:
    """A line without what of it was printed before; None where that is all of it."""
    before = begun.pop(line.of, None)
    if before is None or not line.text.startswith(before.text):
        return line
    text = line.text.removeprefix(before.text)
    return replace(line, text=text) if text else None


def _as_json(written: Sequence[Written]) -> None:
    for each in written:
        sys.stdout.write(printed(json.dumps(kind.item(each), ensure_ascii=False) + "\n"))
    sys.stdout.flush()


class _Table:
    """A table that goes on."""

    def __init__(self, *, plain: bool) -> None:
        self._plain = plain
        self._table = GrowingTable(kind.COLUMNS, colour=in_colour())

    def __call__(self, written: Sequence[Written]) -> None:
        text = self._table.more([row for each in written for row in kind.rows(each)])
        sys.stdout.write(printed(text, plain=self._plain))
        sys.stdout.flush()
