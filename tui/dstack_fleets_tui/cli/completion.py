"""Completion of the command line in shells, names of the server included."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable
from itertools import chain
from typing import TYPE_CHECKING, Any

from dstack_fleets_tui.actions.project_names import offered
from dstack_fleets_tui.cli.common import (
    DONE,
    connection_of,
    known_projects,
    named_project,
    settings_of,
    several,
)
from dstack_fleets_tui.cli.several import projects_of
from dstack_fleets_tui.output.notices import PROGRAM

if TYPE_CHECKING:
    from dstack_api_client.connect.connection import Connection
    from dstack_api_client.transport.client import Client

SHELLS = ("bash", "zsh", "fish")
#: What argcomplete's scripts set when they ask for completions.
_ASKED = "_ARGCOMPLETE"
#: Seconds that a server has to name what it has: someone waits at a prompt.
_PATIENCE = 2.0
#: Most names of a kind; one page of a server.
_MOST_NAMES = 100
#: Names that a shell takes as they are; a server's others are not put on anyone's command line.
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")

#: What is offered for an argument, by what is typed of the command line so far.
Offer = Callable[[argparse.Namespace], list[str]]


def add_completion(commands: Any) -> None:
    """Adds the command that prints a shell's script."""
    command = commands.add_parser(
        "completion",
        allow_abbrev=False,
        help="print what makes a shell complete commands, options and names",
        description="Prints a script for a shell. Names of services and fleets are read from your"
        f' server when you press tab.\n\n  bash  eval "$({PROGRAM} completion bash)"\n'
        f'  zsh   eval "$({PROGRAM} completion zsh)"    after compinit\n'
        f"  fish  {PROGRAM} completion fish | source",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))
    command.set_defaults(run=_completion)


def completed(action: argparse.Action, offer: Offer) -> None:
    """Has an argument completed by what is offered for it."""

    def completer(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
        return offer(parsed_args)

    # The name that argcomplete looks for.
    action.completer = completer  # type: ignore[attr-defined]


def completed_by_projects(action: argparse.Action) -> None:
    """Has an argument completed by the projects of dstack's configuration; it takes several."""

    def completer(prefix: str, **_: Any) -> list[str]:
        return offered(known_projects(), prefix)

    action.completer = completer  # type: ignore[attr-defined]


def complete(parser: argparse.ArgumentParser) -> None:
    """Answers a shell that asks for completions, and ends the process; else does nothing."""
    if _ASKED not in os.environ:
        return
    import argcomplete

    # Options only once a dash is typed: else they hide the names.
    argcomplete.autocomplete(parser, always_complete_options=False)


def services(args: argparse.Namespace) -> list[str]:
    """The services of the project that have not ended."""
    return _read(args, _services)


def runs(args: argparse.Namespace) -> list[str]:
    """The services and other runs of the project that have not ended."""
    return _read(args, _runs)


def fleets(args: argparse.Namespace) -> list[str]:
    """The fleets of the project, those lent to it included."""
    return _read(args, _fleets)


def services_and_fleets(args: argparse.Namespace) -> list[str]:
    """What `undo` takes a name of."""
    return [*services(args), *fleets(args)]


def fleets_or_services(args: argparse.Namespace) -> list[str]:
    """What `get KIND` takes a name of."""
    if args.kind in ("fleets", "instances"):
        return fleets(args)
    if args.kind in ("problems", "metrics", "events"):
        return [*fleets(args), *services(args)]
    return services(args)


def _read(args: argparse.Namespace, names: Callable[[Client, str], Any]) -> list[str]:
    """Names that the projects have; none of one that can't be asked.

    A prompt is no place to say why.
    """
    import asyncio

    from dstack_api_client.connect.connection import ConfigError
    from dstack_api_client.errors import ApiError

    settings = settings_of(args)
    projects = projects_of(args, named_project(args)) if several(args) else [None]

    async def names_in(project: str | None) -> list[str]:
        connection = connection_of(args, settings, project)
        if isinstance(connection, ConfigError):
            return []
        try:
            return await asyncio.wait_for(_ask(connection, names), _PATIENCE)
        except (ApiError, asyncio.TimeoutError):
            return []

    async def all_names() -> list[str]:
        found = await asyncio.gather(*map(names_in, projects))
        return [*dict.fromkeys(chain.from_iterable(found))]

    return asyncio.run(all_names())


async def _ask(connection: Connection, names: Callable[[Client, str], Any]) -> list[str]:
    from dstack_api_client.transport.client import Client

    async with Client(connection.url, connection.token, verify=connection.verify) as client:
        found = await names(client, connection.project)
    return [name for name in found if name and _PLAIN.fullmatch(name)]


async def _services(client: Client, project: str) -> list[str | None]:
    runs = await client.runs.page(project, limit=_MOST_NAMES, jobs=False)
    return [run.read_spec.run_name for run in runs if run.read_spec.configuration.type == "service"]


async def _runs(client: Client, project: str) -> list[str | None]:
    found = await client.runs.page(project, limit=_MOST_NAMES, jobs=False)
    return [run.read_spec.run_name for run in found]


async def _fleets(client: Client, project: str) -> list[str | None]:
    return [fleet.name for fleet in await client.fleets.page(project, limit=_MOST_NAMES)]


def _completion(args: argparse.Namespace) -> int:
    from argcomplete.shell_integration import shellcode

    sys.stdout.write(shellcode([PROGRAM], shell=args.shell))
    return DONE
