"""`get`: one full look at a project, printed as a table, JSON or YAML."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import yaml

from dstack_api_client.client import Client
from dstack_api_client.connection import Connection
from dstack_api_client.errors import ApiError
from dstack_api_client.feed import ConnectionState, Feed
from dstack_api_client.snapshot import Fleet, Instance, Replica, Service, Snapshot
from dstack_fleets_tui.headless import payload, select, views
from dstack_fleets_tui.headless.payload import Kind
from dstack_fleets_tui.headless.table import Column, render

Output: TypeAlias = Literal["table", "json", "yaml"]

KINDS: tuple[Kind, ...] = ("fleets", "instances", "services", "replicas")

_TABLES: dict[Kind, tuple[Sequence[Column], Callable[[Any, Snapshot], Sequence[str]]]] = {
    "fleets": (views.FLEETS, views.fleet),
    "instances": (views.INSTANCES, views.instance),
    "services": (views.SERVICES, views.service),
    "replicas": (views.REPLICAS, views.replica),
}
_ITEMS: dict[Kind, Callable[[Any, Snapshot], payload.Item]] = {
    "fleets": lambda fleet, _: payload.fleet(fleet),
    "instances": payload.instance,
    "services": lambda service, _: payload.service(service),
    "replicas": payload.replica,
}
#: Signs that a terminal without Unicode is spared, each with one of the same width.
_PLAIN = str.maketrans({"–": "-", "…": "~"})


class UnavailableError(ApiError):
    """The server is away, does not let this user in, or did not answer to the end."""


def get(
    connection: Connection,
    kind: Kind,
    name: str | None,
    output: Output,
    *,
    ended: bool = False,
    plain: bool = False,
) -> None:
    """Reads a project once and prints a part of it.

    Args:
        connection: Where to read.
        kind: Which part.
        name: Just this fleet or service, or what belongs to it.
        output: In which form.
        ended: Whether services that have ended well are wanted too.
        plain: Whether a table is kept to ASCII where that is not up to names.

    Raises:
        ApiError: The server could not be read, or has nothing of that name.
    """
    snapshot = asyncio.run(observe(connection))
    if output == "table":
        text = table(
            snapshot,
            kind,
            name,
            ended=ended,
            plain=plain or not _unicode(),
            colour=sys.stdout.isatty() and not os.environ.get("NO_COLOR"),
        )
    else:
        whole = collect(snapshot, kind, name, ended=ended)
        text = as_json(whole) if output == "json" else as_yaml(whole)
    if not _unicode():
        encoding = sys.stdout.encoding or "ascii"
        text = text.encode(encoding, "backslashreplace").decode(encoding)
    sys.stdout.write(text)


async def observe(connection: Connection) -> Snapshot:
    """Reads a whole project once.

    Raises:
        UnavailableError: It could not be read, or not to its end.
    """
    async with Client(connection.url, connection.token, verify=connection.verify) as client:
        feed = Feed(client, connection.project)
        async for _ in feed.poll(full=True):
            continue
    if feed.snapshot is None or feed.health.state is not ConnectionState.LIVE:
        raise UnavailableError(feed.health.message or "", feed.health.hint or "")
    return feed.snapshot


def collect(
    snapshot: Snapshot, kind: Kind, name: str | None, *, ended: bool = False
) -> dict[str, Any]:
    """The object that JSON and YAML show.

    Raises:
        NoSuchNameError: There is nothing of that name.
    """
    item = _ITEMS[kind]
    things = _chosen(snapshot, kind, name, ended=ended)
    return payload.envelope(snapshot, kind, [item(thing, snapshot) for thing in things])


def table(
    snapshot: Snapshot,
    kind: Kind,
    name: str | None,
    *,
    ended: bool = False,
    plain: bool = False,
    colour: bool = False,
) -> str:
    """The same as a table.

    Raises:
        NoSuchNameError: There is nothing of that name.
    """
    columns, cells = _TABLES[kind]
    things = _chosen(snapshot, kind, name, ended=ended)
    text = render(columns, [cells(t, snapshot) for t in things], colour=colour)
    return text.translate(_PLAIN) if plain else text


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


def _chosen(
    snapshot: Snapshot, kind: Kind, name: str | None, *, ended: bool
) -> Sequence[Fleet | Instance | Service | Replica]:
    if kind == "fleets":
        return select.fleets(snapshot, name)
    if kind == "instances":
        return select.instances(snapshot, name)
    services = select.services(snapshot, name, ended=ended)
    return services if kind == "services" else select.replicas(snapshot, services)
