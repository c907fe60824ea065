"""`plan`: what an edit of a service would do, printed; nothing is changed."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from dstack_api_client.connect.connection import Connection
from dstack_api_client.edits.base.base import Base, read_service
from dstack_api_client.edits.errors import EditError
from dstack_api_client.edits.outlook.warnings import PlanWarning, contents_notes
from dstack_api_client.edits.plan.planning import Plan, make_plan
from dstack_api_client.edits.service import assignments, texts
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.feed.feed import Feed
from dstack_api_client.model.router import RouterStatus
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.routers.watch import read_router
from dstack_api_client.text import one_line
from dstack_api_client.transport.client import Client
from dstack_api_client.yaml_text import LONGEST
from dstack_fleets_tui.headless.get import as_json
from dstack_fleets_tui.headless.looking import UnavailableError, poll
from dstack_fleets_tui.names import selection
from dstack_fleets_tui.output.plans import plan_item, plan_text

Output: TypeAlias = Literal["table", "json"]


@dataclass(frozen=True)
class Wanted:
    """What the command line asks to change.

    Attributes:
        service: The service's name.
        assignments: What `--set` says, in its order.
        removed: What `--remove` says.
        replicas: What `--replicas` says.
        text: A whole configuration.
    """

    service: str
    assignments: tuple[assignments.Assignment, ...] = ()
    removed: tuple[str, ...] = ()
    replicas: str | None = None
    text: str | None = None


@dataclass(frozen=True)
class Desk:
    """What commands that edit work with.

    Attributes:
        client: Where.
        snapshot: The project as it was just read.
        base: The service, whole.
    """

    client: Client
    snapshot: Snapshot
    base: Base

    @property
    def edit(self) -> ServiceEdit:
        """An edit that changes nothing yet."""
        return ServiceEdit.begin(self.base, self.snapshot.capabilities)


@asynccontextmanager
async def desk(
    connection: Connection, service: str, *, read_only: bool = True
) -> AsyncIterator[Desk]:
    """Reads a project and one of its services.

    Args:
        connection: Where.
        service: The service's name.
        read_only: Whether the client refuses every change.

    Raises:
        UnavailableError: The project could not be read, or not whether there is an add-on.
        NoSuchNameError: It has no service of that name.
    """
    async with Client(
        connection.url, connection.token, verify=connection.verify, read_only=read_only
    ) as client:
        feed = Feed(client, connection.project)
        snapshot = await poll(feed, full=True)
        (found,) = selection.services(snapshot, service)
        feed.focus(opened_service=found.id)
        snapshot = await poll(feed)
        if snapshot.capabilities.unread:
            raise UnavailableError(
                "It is not known whether this server has the placement add-on, and what it can do.",
                snapshot.capabilities.unread,
            )
        if snapshot.placement_failure:
            say(f"The placement add-on could not be read. {snapshot.placement_failure}")
        router = await read_router(client, connection.project, snapshot, found)
        if router is not None:
            snapshot = replace(snapshot, routers={found.id: router})
            if router.status is RouterStatus.UNKNOWN:
                say(f"It is not known whether the router reaches its workers. {router.message}")
        base = await read_service(client, connection.project, found.name)
        yield Desk(client, snapshot, base)


def plan(connection: Connection, wanted: Wanted, output: Output, *, plain: bool = False) -> bool:
    """Plans an edit and prints it.

    Args:
        connection: Where.
        wanted: What to change.
        output: In which form.
        plain: Whether the text is kept to ASCII where that is not up to names.

    Returns:
        Whether there is something to change.

    Raises:
        ApiError: It is refused, or the server could not be asked.
    """
    made = asyncio.run(_plan(connection, wanted))
    write(as_json(plan_item(made)) if output == "json" else plan_text(made, plain=plain))
    return bool(made.changes)


async def _plan(connection: Connection, wanted: Wanted) -> Plan:
    async with desk(connection, wanted.service) as at:
        return await planned(at, wanted)


async def planned(at: Desk, wanted: Wanted) -> Plan:
    """Makes the edit that is wanted, and its plan.

    Raises:
        ApiError: It is refused, or the server could not be asked.
    """
    edit = at.edit
    notes: list[PlanWarning] = []
    if wanted.text is not None:
        edit = await texts.with_file(at.client, edit, wanted.text, os.environ)
        notes = contents_notes(edit)
    for subject in wanted.removed:
        edit = assignments.remove(edit, subject)
    for assignment in wanted.assignments:
        edit = assignments.assign(edit, assignment)
    if wanted.replicas is not None:
        edit = assignments.with_replicas(edit, wanted.replicas)
    return await make_plan(at.client, edit, snapshot=at.snapshot, notes=notes)


def parse_all(texts_of: Sequence[str]) -> tuple[assignments.Assignment, ...]:
    """Reads what stands behind `--set`.

    Raises:
        EditError: One of them can't be understood.
    """
    return tuple(map(assignments.parse, texts_of))


def say(text: str) -> None:
    """Tells something beside the output proper; that nobody can be told ends nothing."""
    with suppress(OSError):
        print(one_line(text), file=sys.stderr)  # noqa: T201


def write(text: str) -> None:
    """Writes to the standard output, escaping what its encoding can't hold."""
    encoding = sys.stdout.encoding or "ascii"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()


def read_file(name: str) -> str:
    """Reads a configuration file; `-` is the standard input.

    Raises:
        EditError: It can't be read.
    """
    try:
        if name == "-":
            data = sys.stdin.buffer.read(LONGEST + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(LONGEST + 1)
        if len(data) > LONGEST:
            what = "The standard input" if name == "-" else one_line(name)
            raise EditError(
                f"{what} is longer than {LONGEST >> 20} MiB; nothing of it is used.",
                "Name a configuration file that is shorter.",
            )
        return data.decode()
    except OSError as error:
        raise EditError(
            f"{one_line(name)} can't be read: {error.strerror}.", "Name a configuration file."
        ) from error
    except UnicodeDecodeError:
        raise EditError(
            f"{one_line(name)} is not text in UTF-8.", "Name a configuration file."
        ) from None
