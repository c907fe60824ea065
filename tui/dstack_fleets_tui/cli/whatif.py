"""The command `whatif`."""

from __future__ import annotations

import argparse
from typing import Any

from dstack_fleets_tui.cli.common import (
    DONE,
    FAILED,
    NO_CONNECTION,
    WRONG,
    Parser,
    begun,
    fail,
)
from dstack_fleets_tui.cli.completion import completed, fleets, services


def add_whatif(commands: Any, connection: Parser) -> None:
    """Adds the command."""
    command = commands.add_parser(
        "whatif",
        allow_abbrev=False,
        parents=[connection],
        help="what would be left without a fleet, an instance, a region, a backend or spot",
        description="Says what would become of each service if capacity went, or if more replicas"
        " were asked for. Changes nothing. Exits with 4 when a minimum would break or a service"
        " would end, so that a check can run it every night.",
    )
    without = command.add_argument(
        "--without",
        metavar="WHAT",
        action="append",
        default=[],
        help="a fleet, FLEET/NUMBER for one of its instances, region:R, backend:B, or spot; may be"
        " repeated",
    )
    completed(without, fleets)
    command.add_argument(
        "--replicas",
        metavar="SERVICE=N",
        action="append",
        default=[],
        help="replicas asked for (SERVICE/GROUP=N of a group); may be repeated",
    )
    service = command.add_argument("--service", metavar="NAME", help="just this service")
    completed(service, services)
    command.add_argument(
        "-o", "--output", choices=("table", "json"), default="table", help="the form"
    )
    command.add_argument(
        "--ascii", action="store_true", default=argparse.SUPPRESS, help="text in plain ASCII"
    )
    command.set_defaults(run=_whatif, parser=command)


def _whatif(args: argparse.Namespace) -> int:
    if not (args.without or args.replicas):
        args.parser.error("say what is lost with --without, or what is asked for with --replicas")
    begin = begun(args)
    if isinstance(begin, int):
        return begin
    connection, settings = begin
    from dstack_api_client.errors import ApiError
    from dstack_fleets_tui.headless.whatif import whatif
    from dstack_fleets_tui.names.selection import NoSuchNameError
    from dstack_fleets_tui.names.whatif_question import Question

    question = Question(args.without, args.replicas, args.service)
    try:
        fails = whatif(connection, question, args.output, plain=settings.ascii)
    except NoSuchNameError as error:
        return fail(error.message, error.hint, FAILED)
    except ApiError as error:
        return fail(error.message, error.hint, NO_CONNECTION)
    return WRONG if fails else DONE
