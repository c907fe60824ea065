"""The command line.

What it needs is imported where it is needed: `--help` and the headless commands load no Textual.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from dstack_fleets_tui.cli.common import (
    BROKEN_PIPE,
    DONE,
    FAILED,
    INTERRUPTED,
    NO_CONNECTION,
    USAGE,
    WRONG,
    Parser,
    begun,
    connection_of,
    debug_settings,
    fail,
    guarded,
    known_projects,
    settings_of,
)
from dstack_fleets_tui.cli.completion import (
    add_completion,
    complete,
    completed,
    fleets_or_services,
    projects,
)
from dstack_fleets_tui.cli.cordons import add_cordons
from dstack_fleets_tui.cli.edits import add_edits
from dstack_fleets_tui.cli.logs import add_log_options, misused
from dstack_fleets_tui.cli.schema import add_schema
from dstack_fleets_tui.cli.whatif import add_whatif
from dstack_fleets_tui.headless.kinds import DOCUMENTS, KINDS
from dstack_fleets_tui.output import streams
from dstack_fleets_tui.output.notices import PROGRAM, say

_DESCRIPTION = "A terminal dashboard for the fleets, services and replicas of a dstack server."
_EXAMPLES = """\
examples:
  dstack-fleets-tui                            the dashboard, on the default project
  dstack-fleets-tui --project prod             the dashboard, on another one
  dstack-fleets-tui demo                       the dashboard, on an emulated data centre
  dstack-fleets-tui get fleets                 a table
  dstack-fleets-tui get services chat -o json  one service, for programs
  dstack-fleets-tui get logs chat --group decode --since 5m -f
  dstack-fleets-tui get problems || page-me    what is wrong, and whether anything is
  dstack-fleets-tui plan chat --set gpu-spot.priority=5 --replicas 4
  dstack-fleets-tui apply chat --set gpu-reserved.min_replicas=2 --wait
  dstack-fleets-tui undo chat                  back to before the last change
  dstack-fleets-tui whatif --without gpu-spot  what would be left of the services
  dstack-fleets-tui drain gpu-reserved/0       move replicas away from an instance

where to connect: the options above, then DSTACK_PROJECT, DSTACK_SERVER_URL and DSTACK_TOKEN,
then ~/.dstack/config.yml, as `dstack` itself does.
exit codes: 0 done, 1 failed or refused, 2 wrong usage, 3 can't connect or not allowed, 4 problems
found (`whatif`: a minimum would break or a service would end), 5 applied but not done within
--wait, 6 sent and not known whether applied; `plan`: 0 nothing to change, 2 changes, 1 refused.
"""
#: Events that one command may ask a server for.
_MOST_EVENTS = 10_000


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        argv: Its arguments, if not the process's.

    Returns:
        The exit code.
    """
    streams.open_closed()
    args = _parse(argv)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        streams.give_up_output()
        return BROKEN_PIPE
    except Exception as error:
        why = streams.unwritten(error) if isinstance(error, OSError) else None
        if why is not None:
            streams.give_up_output()
            say(f"The output can't be written: {why}.")
            return FAILED
        from dstack_fleets_tui.words.faults import line_of

        say(line_of(error))
        return FAILED
    return code


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = command_parser()
    complete(parser)
    args: argparse.Namespace
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        parser.code = getattr(args, "usage_code", USAGE)
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return args


def command_parser() -> Parser:
    """The parser of all commands."""
    # Nothing is shortened: `--token SECRET` would pass for `--token-file`, and be printed.
    connection = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    group = connection.add_argument_group("where to connect")
    project = group.add_argument("--project", metavar="NAME", help="a project of the configuration")
    completed(project, projects)
    group.add_argument("--server-url", "--url", metavar="URL", help="the server's address")
    group.add_argument("--token-file", metavar="FILE", type=Path, help="a file with the token")
    group.add_argument("--ca-file", metavar="FILE", type=Path, help="certificates (PEM) to trust")
    group.add_argument(
        "--insecure-http", action="store_true", help="send the token over plain HTTP"
    )
    group.add_argument("--read-only", action="store_true", help="refuse every change")
    group.add_argument(
        "--debug-settings", action="store_true", help="say where each value comes from, and exit"
    )
    looks = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    group = looks.add_argument_group("the dashboard")
    group.add_argument("--ascii", action="store_true", help="draw with plain ASCII characters")
    group.add_argument(
        "--interval", metavar="SECONDS", type=_interval, help="between two polls (default: 2)"
    )
    group.add_argument(
        "--theme", metavar="NAME", help="high-contrast, colour-blind, nord, textual-light, ..."
    )
    group.add_argument(
        "--mouse",
        choices=("on", "off", "auto"),
        help="whether the mouse is used (default: auto, which is off in GNU screen)",
    )
    group.add_argument(
        "--alert",
        choices=("off", "bell", "notify"),
        help="what a new critical problem does; notify also sends a notification (default: bell)",
    )

    parser = Parser(
        prog=PROGRAM,
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[connection, looks],
    )
    parser.add_argument("--version", action=_Version, help="show the version, and exit")
    parser.set_defaults(run=_dashboard)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

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
    get.add_argument(
        "-o",
        "--output",
        choices=("table", "json", "yaml", "csv", "md", "name", "prometheus"),
        default="table",
        help="the form: a table (the default), JSON, YAML, CSV, Markdown, names alone, or (of"
        " metrics) what Prometheus reads",
    )
    get.add_argument(
        "-a", "--all", action="store_true", help="services and runs that have ended, too"
    )
    get.add_argument(
        "--limit", metavar="N", type=_limit, default=50, help="at most so many events (default: 50)"
    )
    get.add_argument(
        "--severity",
        choices=("notice", "warning", "critical"),
        default="notice",
        help="problems of at least this severity (default: notice)",
    )
    get.add_argument(
        "--watch",
        action="store_true",
        help="of problems: go on, and print each change as a line (with -o json as an object)",
    )
    get.add_argument(
        "--no-ssh",
        action="store_true",
        help="read no router over SSH where the server can't read it",
    )
    get.add_argument(
        "--ascii", action="store_true", default=argparse.SUPPRESS, help="tables in plain ASCII"
    )
    add_log_options(get)
    get.set_defaults(run=_get)

    add_edits(commands, connection)
    add_cordons(commands, connection)
    add_whatif(commands, connection)
    add_completion(commands)
    add_schema(commands)

    demo = commands.add_parser(
        "demo",
        allow_abbrev=False,
        parents=[looks],
        help="the dashboard on a real server with emulated hosts",
        description="Starts a dstack server of its own with emulated hosts, and the dashboard on "
        "it. Both end when you quit.",
    )
    demo.add_argument(
        "--scenario",
        metavar="NAME",
        default="lanes",
        help="lanes (the default), demo for a stock server, or another of docs/simulator.md",
    )
    demo.add_argument(
        "--fault",
        metavar="NAME",
        help="something that goes wrong once all is there: spot-interrupted, router-down, or"
        " another; an unknown name lists them",
    )
    demo.set_defaults(run=_demo)
    return parser


def _dashboard(args: argparse.Namespace) -> int:
    settings = settings_of(args)
    connection = connection_of(args, settings)
    settings = guarded(settings, connection)
    if "debug_settings" in args:
        return debug_settings(connection, settings)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        from dstack_api_client.connect.connection import ConfigError

        if isinstance(connection, ConfigError):
            return fail(connection.message, connection.hint, NO_CONNECTION)
        return fail(
            "The dashboard needs a terminal.",
            f"In scripts and pipes use `{PROGRAM} get`.",
            FAILED,
        )
    from dstack_fleets_tui.app.run import run
    from dstack_fleets_tui.settings.projects import Projects

    projects = Projects(known_projects, lambda name: connection_of(args, settings, name), guarded)
    return run(connection, settings, again=lambda: connection_of(args, settings), projects=projects)


def _get(args: argparse.Namespace) -> int:
    if args.output == "prometheus" and args.kind != "metrics":
        return fail(
            f"Only metrics have the form that Prometheus reads, not {args.kind}.",
            f"Use `{PROGRAM} get metrics -o prometheus`.",
            USAGE,
        )
    if args.kind in DOCUMENTS and args.output not in ("table", "md"):
        return fail(
            "A report is for people: it is Markdown.",
            f"For programs use `{PROGRAM} get KIND NAME -o json`, with the kinds of `get --help`.",
            USAGE,
        )
    if args.kind in DOCUMENTS and args.name is None:
        return fail("A report is of one service.", f"Use `{PROGRAM} get report NAME`.", USAGE)
    if args.watch and (args.kind != "problems" or args.output not in ("table", "json")):
        return fail(
            "Only problems are watched, as a table or as JSON.",
            f"Use `{PROGRAM} get problems --watch`.",
            USAGE,
        )
    wrong_use = misused(args)
    if wrong_use:
        return fail(wrong_use, "", USAGE)
    begin = begun(args)
    if isinstance(begin, int):
        return begin
    connection, settings = begin
    from dstack_api_client.errors import ApiError
    from dstack_api_client.problems.model import Severity
    from dstack_fleets_tui.headless.get import get
    from dstack_fleets_tui.headless.looking import Asked, UnavailableError
    from dstack_fleets_tui.headless.watching import watch
    from dstack_fleets_tui.names.selection import NoSuchNameError

    severity = Severity[args.severity.upper()]
    asked = Asked(
        args.kind,
        args.name,
        args.all,
        args.limit,
        severity,
        ssh=not args.no_ssh,
        losses=settings.loss_problems,
        group=args.group,
        replica=args.replica,
        back=args.since if args.kind == "logs" else None,
    )
    try:
        if args.watch:
            as_json = args.output == "json"
            interval = settings.interval
            watch(connection, asked, interval=interval, as_json=as_json, plain=settings.ascii)
            return DONE
        if args.follow:
            from dstack_fleets_tui.headless.following_logs import follow_logs

            follow_logs(connection, asked, args.output, settings.interval, plain=settings.ascii)
            return DONE
        wrong = get(connection, asked, args.output, plain=settings.ascii)
    except UnavailableError as error:
        return fail(error.message, error.hint, NO_CONNECTION)
    except NoSuchNameError as error:
        return fail(error.message, error.hint, FAILED)
    except ApiError as error:
        return fail(error.message, error.hint, NO_CONNECTION)
    return WRONG if wrong else DONE


def _demo(args: argparse.Namespace) -> NoReturn:
    dashboard = [sys.executable, "-m", "dstack_fleets_tui"]
    if "ascii" in args:
        dashboard.append("--ascii")
    for name in ("interval", "theme", "mouse", "alert"):
        if name in args:
            dashboard += [f"--{name}", f"{getattr(args, name)}"]
    simulator = [sys.executable, "-m", "dstack_simulator", "--scenario", args.scenario]
    if args.fault is not None:
        simulator += ["--fault", args.fault]
    sys.stdout.flush()
    # The simulator takes this process's place, and with it its terminal and its signals; it says
    # itself what is missing when its extra is not installed.
    os.execv(sys.executable, [*simulator, "--", *dashboard])


def _interval(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.5 <= value <= 3600:
        raise argparse.ArgumentTypeError("has to be 0.5 to 3600 seconds")
    return value


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= _MOST_EVENTS):
        raise argparse.ArgumentTypeError(f"has to be 1 to {_MOST_EVENTS}")
    return int(text)


class _Version(argparse.Action):
    """Looks the version up when it is asked for."""

    def __init__(self, **options: Any) -> None:
        super().__init__(nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from dstack_fleets_tui.cli.version import version_text

        sys.stdout.write(f"{PROGRAM} {version_text()}\n")
        parser.exit()
