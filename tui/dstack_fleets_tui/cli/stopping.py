"""The commands that end runs: `stop` and `delete`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from dstack_fleets_tui.cli.common import Parser
from dstack_fleets_tui.cli.completion import completed, runs
from dstack_fleets_tui.cli.edits import change_parsers, edit, ended, manner_of

if TYPE_CHECKING:
    from dstack_api_client.connect.connection import Connection
    from dstack_api_client.edits.perform.stopping import StopAction
    from dstack_fleets_tui.settings.settings import Settings

_STOP = "Stops a service, task or dev environment, after showing what ends with it."
_DELETE = "Deletes a run that has ended from the server's lists."
_COMMANDS = (
    ("stop", "stop a service or another run", _STOP),
    ("delete", "delete a run that has ended", _DELETE),
)


def add_stopping(commands: Any, connection: Parser) -> None:
    """Adds the commands."""
    form, manner = change_parsers()
    for name, short, long in _COMMANDS:
        command = commands.add_parser(
            name,
            allow_abbrev=False,
            parents=[form, manner, connection],
            help=short,
            description=long,
        )
        command.set_defaults(run=_run, action=name, abort=False)
        run = command.add_argument("name", metavar="RUN", help="the run's name")
        if name == "stop":
            completed(run, runs)
            command.add_argument("--abort", action="store_true", help="kill its processes at once")


def _run(args: argparse.Namespace) -> int:
    def run(connection: Connection, settings: Settings) -> int:
        from dstack_fleets_tui.headless.stopping import stop

        action: StopAction = "abort" if args.abort else args.action
        manner = manner_of(args, connection, settings)
        return ended(stop(connection, action, args.name, manner).name)

    return edit(args, run, look=f"get runs {args.name}")
