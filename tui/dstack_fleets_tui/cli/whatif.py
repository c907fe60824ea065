"""The command `whatif`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from dstack_fleets_tui.cli.common import (
    DONE,
    WRONG,
    Parser,
    begun,
    code_of_reading,
    several,
)
from dstack_fleets_tui.cli.completion import completed, fleets, services
from dstack_fleets_tui.cli.several import begun_in_several, code_of

if TYPE_CHECKING:
    from dstack_fleets_tui.names.whatif_question import Question


def add_whatif(commands: Any, connection: Parser) -> None:
    """Adds the command."""
    command = commands.add_parser(
        "whatif",
        allow_abbrev=False,
        parents=[connection],
        help="what happens to services without a fleet, an instance, a region, a backend or spot",
        description="Shows what happens to each service if capacity is lost, or if more replicas"
        " are requested. Changes nothing. Exits with 4 when a minimum would break or a service"
        " would end, so a check can run it every night.",
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
        help="replicas requested (SERVICE/GROUP=N of a group); may be repeated",
    )
    service = command.add_argument("--service", metavar="NAME", help="just this service")
    completed(service, services)
    command.add_argument(
        "-o", "--output", choices=("table", "json"), default="table", help="the output format"
    )
    command.add_argument(
        "--ascii", action="store_true", default=argparse.SUPPRESS, help="plain ASCII text"
    )
    command.set_defaults(run=_whatif, parser=command)


def _whatif(args: argparse.Namespace) -> int:
    if not (args.without or args.replicas):
        args.parser.error("name what is lost with --without, or what is requested with --replicas")
    if several(args):
        return _whatif_of_several(args)
    begin = begun(args)
    if isinstance(begin, int):
        return begin
    connection, settings = begin

    def answered() -> int:
        from dstack_fleets_tui.headless.whatif import whatif

        fails = whatif(connection, _question(args), args.output, plain=settings.ascii)
        return WRONG if fails else DONE

    return code_of_reading(answered)


def _whatif_of_several(args: argparse.Namespace) -> int:
    begin = begun_in_several(args)
    if isinstance(begin, int):
        return begin
    connections, settings = begin

    def answered() -> int:
        from dstack_fleets_tui.headless.whatif import whatif_of_several

        question = _question(args)
        return code_of(whatif_of_several(connections, question, args.output, plain=settings.ascii))

    return code_of_reading(answered)


def _question(args: argparse.Namespace) -> Question:
    from dstack_fleets_tui.names.whatif_question import Question

    return Question(args.without, args.replicas, args.service)
