"""The command `get`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from dstack_fleets_tui.cli.common import (
    DONE,
    NO_CONNECTION,
    USAGE,
    WRONG,
    Parser,
    begun,
    code_of_reading,
    fail,
    several,
)
from dstack_fleets_tui.cli.completion import completed, fleets_or_services
from dstack_fleets_tui.cli.forms import add_form_options, wrong_form
from dstack_fleets_tui.cli.logs import add_log_options, misused
from dstack_fleets_tui.cli.several import begun_in_several, code_of
from dstack_fleets_tui.headless.kinds import DOCUMENTS, KINDS, OF_ONE

if TYPE_CHECKING:
    from dstack_api_client.connect.connection import ConfigError, Connection
    from dstack_fleets_tui.headless.looking import Asked
    from dstack_fleets_tui.settings.settings import Settings

#: Events that one command may ask a server for.
_MOST_EVENTS = 10_000


def add_get(commands: Any, connection: Parser) -> None:
    """Adds the command."""
    get = commands.add_parser(
        "get",
        allow_abbrev=False,
        parents=[connection],
        help="print fleets, services, how they are spread, what is wrong, what happened",
        description="Prints what the dashboard shows, once.",
        epilog="kinds:\n"
        + "".join(f"  {name:<14}{what}\n" for name, what in {**KINDS, **DOCUMENTS}.items())
        + "\nNAME picks one service or fleet. `get problems` exits with 4 when there are any. The\n"
        "keys of JSON and YAML are described in docs/json.md.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    get.add_argument(
        "kind", choices=[*KINDS, *DOCUMENTS], metavar="KIND", help="one of the kinds below"
    )
    name = get.add_argument("name", metavar="NAME", nargs="?", help="just this fleet or service")
    completed(name, fleets_or_services)
    add_form_options(get)
    get.add_argument(
        "-a", "--all", action="store_true", help="include services and runs that have ended"
    )
    get.add_argument(
        "--limit",
        metavar="N",
        type=_limit,
        default=50,
        help="at most this many events (default: 50)",
    )
    get.add_argument(
        "--severity",
        choices=("notice", "warning", "critical"),
        default="notice",
        help="problems of at least this severity (default: notice)",
    )
    get.add_argument(
        "--no-ssh",
        action="store_true",
        help="do not read routers over SSH where the server can't",
    )
    get.add_argument(
        "--ascii", action="store_true", default=argparse.SUPPRESS, help="tables in plain ASCII"
    )
    add_log_options(get)
    get.set_defaults(run=_get)


def _get(args: argparse.Namespace) -> int:
    form = wrong_form(args)
    if form is not None:
        return fail(*form, USAGE)
    wrong_use = misused(args)
    if wrong_use:
        return fail(wrong_use, "", USAGE)
    if several(args):
        return _get_of_several(args)
    begin = begun(args)
    if isinstance(begin, int):
        return begin
    return code_of_reading(partial(_printed, args, *begin))


def _printed(args: argparse.Namespace, connection: Connection, settings: Settings) -> int:
    """`get` of one project; gives the exit code."""
    asked = _asked_of(args, settings)
    if args.watch:
        from dstack_fleets_tui.headless.watching import watch

        as_json = args.output == "json"
        interval = settings.interval
        watch(connection, asked=asked, interval=interval, as_json=as_json, plain=settings.ascii)
        return DONE
    if args.follow:
        from dstack_fleets_tui.headless.following_logs import follow_logs

        follow_logs(connection, asked, args.output, settings.interval, plain=settings.ascii)
        return DONE
    from dstack_fleets_tui.headless.get import get

    wrong = get(connection, asked, args.output, plain=settings.ascii)
    return WRONG if wrong else DONE


def _asked_of(args: argparse.Namespace, settings: Settings) -> Asked:
    """What is asked for."""
    from dstack_api_client.problems.model import Severity
    from dstack_fleets_tui.headless.looking import Asked

    return Asked(
        args.kind,
        args.name,
        args.all,
        args.limit,
        Severity[args.severity.upper()],
        ssh=not args.no_ssh,
        losses=settings.loss_problems,
        group=args.group,
        replica=args.replica,
        back=args.since if args.kind == "logs" else None,
        columns=args.columns,
        wide=args.output == "wide",
    )


def _get_of_several(args: argparse.Namespace) -> int:
    """`get` where `--project` names several; gives the exit code."""
    if args.kind in OF_ONE:
        return fail(f"{args.kind.capitalize()} are of one project.", "Use --project NAME.", USAGE)
    begin = begun_in_several(args)
    if isinstance(begin, int):
        return begin
    return code_of_reading(partial(_printed_of_several, args, *begin))


def _printed_of_several(
    args: argparse.Namespace,
    connections: Mapping[str, Connection | ConfigError],
    settings: Settings,
) -> int:
    from dstack_fleets_tui.headless.several import get_of_several

    asked = _asked_of(args, settings)
    if args.watch:
        return _watch_several(connections, asked, settings, as_json=args.output == "json")
    return code_of(get_of_several(connections, asked, args.output, plain=settings.ascii))


def _watch_several(
    connections: Mapping[str, Connection | ConfigError],
    asked: Asked,
    settings: Settings,
    *,
    as_json: bool,
) -> int:
    """`get --watch` of several projects; each has to be known before it begins."""
    from dstack_api_client.connect.connection import ConfigError
    from dstack_fleets_tui.headless.watching import watch

    for each in connections.values():
        if isinstance(each, ConfigError):
            return fail(each.message, each.hint, NO_CONNECTION)
    found = [each for each in connections.values() if not isinstance(each, ConfigError)]
    watch(*found, asked=asked, interval=settings.interval, as_json=as_json, plain=settings.ascii)
    return DONE


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= _MOST_EVENTS):
        raise argparse.ArgumentTypeError(f"has to be 1 to {_MOST_EVENTS}")
    return int(text)
