"""The commands that plan and apply changes: `plan`, `apply`, `undo`, `rebalance`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dstack_fleets_tui.cli.common import (
    CHANGES,
    DONE,
    FAILED,
    NO_CONNECTION,
    NOT_KNOWN,
    STILL_WAITING,
    Parser,
    begun,
    fail,
)
from dstack_fleets_tui.cli.completion import completed, services, services_and_fleets
from dstack_fleets_tui.output.notices import PROGRAM, say

if TYPE_CHECKING:
    from dstack_api_client.connect.connection import Connection
    from dstack_fleets_tui.headless.manner import Manner
    from dstack_fleets_tui.headless.plan import Wanted
    from dstack_fleets_tui.settings.settings import Settings


#: Digits of the number of a deployment.
_LONGEST = 9
_NAMED = "the service's name, or with a fleet's file the fleet's"


def add_edits(commands: Any, connection: Parser) -> None:
    """Adds the commands that plan and apply changes."""
    changes = Parser(add_help=False)
    group = changes.add_argument_group("what to change")
    group.add_argument(
        "--set",
        metavar="WHAT=VALUE",
        action="append",
        default=[],
        dest="assignments",
        help="FLEET.priority, FLEET.min_replicas or FLEET.max_replicas of a lane (GROUP/FLEET. of a"
        " group's own), GROUP.replicas, GROUP.spot_policy, GROUP.reservation, or priority;"
        " may be repeated",
    )
    group.add_argument(
        "--remove",
        metavar="FLEET",
        action="append",
        default=[],
        help="a lane to remove (or GROUP/FLEET); may be repeated",
    )
    group.add_argument("--replicas", metavar="RANGE", help="replicas: 3, or 3..10")
    group.add_argument(
        "-f", "--file", metavar="FILE", help="a whole configuration file (- is the standard input)"
    )
    form, manner = change_parsers()
    plan = commands.add_parser(
        "plan",
        allow_abbrev=False,
        parents=[changes, form, connection],
        help="what a change of a service or a fleet would do; changes nothing",
        description="Plans a change of a service, or a fleet's file, and prints it. Exits with 0"
        " when there is nothing to change, 2 when there is, 1 when it is refused.",
    )
    plan.code = FAILED
    plan.set_defaults(run=_plan, usage_code=FAILED)
    apply = commands.add_parser(
        "apply",
        allow_abbrev=False,
        parents=[changes, form, manner, connection],
        help="change a service that runs, or a fleet, in place",
        description="Plans a change of a service, or a fleet's file, prints the plan, asks, and "
        "applies it in place.",
    )
    undo = commands.add_parser(
        "undo",
        allow_abbrev=False,
        parents=[form, manner, connection],
        help="undo the last change of a service or a fleet",
        description="Plans an undo of what was last applied to a service or a fleet from here,"
        " and continues like `apply`.",
    )
    which = undo.add_mutually_exclusive_group()
    which.add_argument(
        "--fleet", action="store_true", help="the fleet, where a service has its name too"
    )
    which.add_argument(
        "--to",
        metavar="DEPLOYMENT",
        type=_number,
        help="back to this deployment instead, of those that `get history` says are kept",
    )
    rebalance = commands.add_parser(
        "rebalance",
        allow_abbrev=False,
        parents=[form, manner, connection],
        help="move a service's replicas to where its lanes say",
        description="Moves replicas, one at a time, until every lane has its target, on a server"
        " with the placement add-on.",
    )
    rebalance.add_argument(
        "--cancel", action="store_true", help="end the rebalancing that is under way instead"
    )
    for command, run in ((apply, _apply), (undo, _undo), (rebalance, _rebalance)):
        command.set_defaults(run=run)
    for command in (plan, apply, rebalance):
        named = "the service's name" if command is rebalance else _NAMED
        service = command.add_argument("service", metavar="SERVICE", help=named)
        completed(service, services)
    either = undo.add_argument("service", metavar="NAME", help="the service or the fleet")
    completed(either, services_and_fleets)


def change_parsers() -> tuple[Parser, Parser]:
    """The options on the form and on the manner of a change, for several commands."""
    form = Parser(add_help=False)
    form.add_argument(
        "-o", "--output", choices=("table", "json"), default="table", help="the output format"
    )
    form.add_argument(
        "--ascii", action="store_true", default=argparse.SUPPRESS, help="plain ASCII text"
    )
    manner = Parser(add_help=False)
    manner.add_argument("-y", "--yes", action="store_true", help="do not ask for confirmation")
    manner.add_argument(
        "--confirm",
        metavar="NAME",
        help="the name of what is changed, in place of typing it when asked",
    )
    manner.add_argument(
        "--wait",
        metavar="SECONDS",
        nargs="?",
        type=_seconds,
        const=600.0,
        help="follow it until it is done (default: at most 600 s)",
    )
    return form, manner


def _plan(args: argparse.Namespace) -> int:
    def run(connection: Connection, settings: Settings) -> int:
        from dstack_fleets_tui.headless.plan import plan

        wanted = _wanted(args)
        if _is_of_fleet(args, wanted):
            from dstack_fleets_tui.headless.fleet_edits import plan_fleet

            changes = plan_fleet(
                connection, args.service, wanted.text or "", args.output, plain=settings.ascii
            )
        else:
            changes = plan(connection, wanted, args.output, plain=settings.ascii)
        return CHANGES if changes else DONE

    return edit(args, run)


def _apply(args: argparse.Namespace) -> int:
    def run(connection: Connection, settings: Settings) -> int:
        from dstack_fleets_tui.headless.apply import apply
        from dstack_fleets_tui.headless.plan import planned

        wanted = _wanted(args)
        manner = manner_of(args, connection, settings)
        if _is_of_fleet(args, wanted):
            from dstack_fleets_tui.headless.fleet_edits import apply_fleet, of_file

            planner = of_file(wanted.text or "")
            return ended(apply_fleet(connection, args.service, planner, manner).name)
        state = apply(connection, args.service, lambda at: planned(at, wanted), manner)
        return ended(state.name)

    return edit(args, run)


def _undo(args: argparse.Namespace) -> int:
    def run(connection: Connection, settings: Settings) -> int:
        from dstack_fleets_tui.headless.apply import apply
        from dstack_fleets_tui.headless.undo import is_of_fleet_only, plan_back_to, undo_plan
        from dstack_fleets_tui.names.selection import NoSuchNameError

        manner = manner_of(args, connection, settings)
        if args.to is None and (args.fleet or is_of_fleet_only(connection, args.service)):
            from dstack_fleets_tui.headless.fleet_edits import apply_fleet, way_back

            args.look = f"get fleets {args.service}"
            done = apply_fleet(connection, args.service, way_back, manner, action="undo")
            return ended(done.name)
        planner = undo_plan if args.to is None else plan_back_to(args.to)
        try:
            return ended(apply(connection, args.service, planner, manner, action="undo").name)
        except NoSuchNameError as error:
            hint = f"{error.hint} `--fleet` undoes what was changed of a fleet."
            raise NoSuchNameError(error.message, hint) from error

    return edit(args, run)


def _rebalance(args: argparse.Namespace) -> int:
    def run(connection: Connection, settings: Settings) -> int:
        from dstack_fleets_tui.headless.apply import cancel_rebalancing, rebalance

        do = cancel_rebalancing if args.cancel else rebalance
        return ended(do(connection, args.service, manner_of(args, connection, settings)).name)

    return edit(args, run)


def edit(
    args: argparse.Namespace, run: Callable[[Connection, Settings], int], *, look: str = ""
) -> int:
    """Runs a command that edits, and tells what is in its way.

    Args:
        args: Its arguments.
        run: Does it.
        look: The command that shows what it changes; of the service where it is not given.
    """
    begin = begun(args)
    if isinstance(begin, int):
        return begin
    connection, settings = begin
    from dstack_api_client import errors
    from dstack_api_client.connect.connection import ConfigError
    from dstack_api_client.edits.base.merging import ConflictError
    from dstack_api_client.edits.base.outcome import UnknownOutcomeError
    from dstack_api_client.errors import UnansweredError
    from dstack_fleets_tui.headless.looking import UnavailableError

    away = (
        ConfigError,
        UnavailableError,
        errors.CannotConnectError,
        errors.UnauthorisedError,
        errors.ForbiddenError,
        errors.ServerFailedError,
        errors.ForeignAnswerError,
    )
    try:
        return run(connection, settings)
    except ConflictError as error:
        from dstack_fleets_tui.output.plans import three_way_lines

        for line in three_way_lines(error.three_way):
            say(line)
        return fail(error.message, error.hint, FAILED)
    except (UnknownOutcomeError, UnansweredError) as error:
        shows = look or getattr(args, "look", "") or f"get services {args.service}"
        advice = f"Look with `{PROGRAM} {shows} -o json` before you repeat it."
        return fail(error.message, f"{error.hint} {advice}", NOT_KNOWN)
    except errors.ApiError as error:
        # What can't be read is as good as away; a server's own words are a refusal.
        unread = isinstance(error, errors.WrongShapeError) and not error.said_by_server
        is_away = isinstance(error, away) or (unread and not error.unsent)
        code = NO_CONNECTION if is_away else FAILED
        return fail(error.message, error.hint, code)


def _wanted(args: argparse.Namespace) -> Wanted:
    from dstack_fleets_tui.headless.plan import Wanted, parse_all, read_file

    return Wanted(
        service=args.service,
        assignments=parse_all(args.assignments),
        removed=tuple(args.remove),
        replicas=args.replicas,
        text=read_file(args.file) if args.file is not None else None,
    )


def _is_of_fleet(args: argparse.Namespace, wanted: Wanted) -> bool:
    """Whether a fleet's file is given, which is all there is to say then."""
    if wanted.text is None:
        return False
    from dstack_fleets_tui.headless.fleet_edits import is_of_fleet, refuse_options

    if not is_of_fleet(wanted.text):
        return False
    refuse_options(wanted.assignments, wanted.removed, wanted.replicas is not None)
    args.look = f"get fleets {args.service}"
    return True


def manner_of(args: argparse.Namespace, connection: Connection, settings: Settings) -> Manner:
    """How a change is carried out, by the options of a command."""
    from dstack_fleets_tui.headless.manner import Manner

    return Manner(
        yes=args.yes,
        wait=args.wait,
        output=args.output,
        plain=settings.ascii,
        read_only=settings.read_only_in(connection.project),
        protected=settings.protected_in(connection.project),
        confirmed=args.confirm,
    )


def ended(state: str) -> int:
    """The exit code of a change by how it ended."""
    return {"DONE": DONE, "STILL_WAITING": STILL_WAITING}.get(state, FAILED)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < _LONGEST):
        raise argparse.ArgumentTypeError("has to be the number of a deployment")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 86400:
        raise argparse.ArgumentTypeError("has to be more than 0 and at most 86400 seconds")
    return value
