"""The commands that take fleets and instances out of service: `cordon`, `drain`, `uncordon`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from dstack_fleets_tui.cli.common import Parser
from dstack_fleets_tui.cli.edits import change_parsers, edit, ended, manner_of

if TYPE_CHECKING:
    from dstack_api_client.connect.connection import Connection
    from dstack_fleets_tui.settings.settings import Settings

_CORDON = (
    "Places nothing new on an instance or in a fleet: no replica, no task, no dev environment. What"
    " runs there stays. Needs a server with the placement add-on."
)
_DRAIN = (
    "Cordons an instance or a fleet, and moves the replicas of services with lanes away, each once"
    " its new one is ready. What can't move stays, and is named with the reason."
)
_UNCORDON = "Puts an instance or a fleet back in service; a drain that is under way ends."
_COMMANDS = (
    ("cordon", "place nothing new on an instance or in a fleet", _CORDON),
    ("drain", "cordon, and move replicas away", _DRAIN),
    ("uncordon", "end a cordon or a drain", _UNCORDON),
)


def add_cordons(commands: Any, connection: Parser) -> None:
    """Adds the commands."""
    form, manner = change_parsers()
    for name, short, long in _COMMANDS:
        parents = [form, manner, connection]
        command = commands.add_parser(
            name, allow_abbrev=False, parents=parents, help=short, description=long
        )
        command.add_argument("target", metavar="FLEET[/NUMBER]", help="the fleet, or an instance")
        command.set_defaults(run=_run, action=name, reason="", force=False)
        if name != "uncordon":
            command.add_argument("--reason", metavar="TEXT", help="the reason, for others to read")
        if name == "drain":
            command.add_argument(
                "--force",
                action="store_true",
                help="move replicas whose address others hold, too",
            )


def _run(args: argparse.Namespace) -> int:
    def run(connection: Connection, settings: Settings) -> int:
        from dstack_fleets_tui.headless.cordoning import change_service_of

        manner = manner_of(args, connection, settings)
        state = change_service_of(
            connection, args.action, args.target, manner, reason=args.reason, force=args.force
        )
        return ended(state.name)

    return edit(args, run, look=f"get fleets {args.target.partition('/')[0]}")
