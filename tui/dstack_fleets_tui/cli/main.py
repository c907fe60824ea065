"""The command line.

What it needs is imported where it is needed: `--help` and the headless commands load no Textual.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dstack_fleets_tui.cli.common import (
    BROKEN_PIPE,
    DONE,
    FAILED,
    INTERRUPTED,
    USAGE,
    Parser,
    fail,
)
from dstack_fleets_tui.cli.completion import (
    add_completion,
    complete,
    completed_by_projects,
)
from dstack_fleets_tui.cli.cordons import add_cordons
from dstack_fleets_tui.cli.dashboard import add_demo, dashboard, look_options
from dstack_fleets_tui.cli.edits import add_edits
from dstack_fleets_tui.cli.get import add_get
from dstack_fleets_tui.cli.schema import add_schema
from dstack_fleets_tui.cli.stopping import add_stopping
from dstack_fleets_tui.cli.whatif import add_whatif
from dstack_fleets_tui.output import streams
from dstack_fleets_tui.output.notices import PROGRAM, say

_DESCRIPTION = "A terminal dashboard for the fleets, services and replicas of a dstack server."
_EXAMPLES = """\
examples:
  dstack-fleets-tui                            the dashboard, on the default project
  dstack-fleets-tui --project prod             the dashboard, on another one
  dstack-fleets-tui --replay incident          an incident that was recorded, without a server
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
        if "log_file" in args and (refused := _open_log(args.log_file)):
            return refused
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
    finally:
        if "log_file" in args:
            _close_log()
    return code


def _close_log() -> None:
    """Ends the log, and says so where it ended by itself."""
    from dstack_fleets_tui.settings.log_file import close_log

    lost = close_log()
    if lost:
        say(lost)


def _open_log(path: Path) -> int:
    """Begins to write the log; gives an exit code where that can't be."""
    from dstack_fleets_tui.cli.version import version_text
    from dstack_fleets_tui.settings.log_file import open_log

    try:
        open_log(path, version_text(), os.environ)
    except OSError as error:
        return fail(f"{path} can't be written: {error.strerror}.", "Name another file.", USAGE)
    return DONE


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
    project = group.add_argument(
        "--project",
        metavar="NAME",
        help="a project of the configuration; the dashboard, `get` and `whatif` take A,B and all",
    )
    completed_by_projects(project)
    group.add_argument("--server-url", "--url", metavar="URL", help="the server's address")
    group.add_argument("--token-file", metavar="FILE", type=Path, help="a file with the token")
    group.add_argument("--ca-file", metavar="FILE", type=Path, help="certificates (PEM) to trust")
    group.add_argument(
        "--insecure-http", action="store_true", help="send the token over plain HTTP"
    )
    group.add_argument("--read-only", action="store_true", help="refuse every change")
    group.add_argument(
        "--debug-settings", action="store_true", help="show where each value comes from, and exit"
    )
    group.add_argument(
        "--log-file", metavar="FILE", type=Path, help="add requests and messages, without secrets"
    )
    looks = look_options()
    parser = Parser(
        prog=PROGRAM,
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[connection, looks],
    )
    parser.add_argument("--version", action=_Version, help="show the version, and exit")
    parser.add_argument(
        "--replay",
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="the dashboard on a recording in place of a server; `incident` is one to try",
    )
    parser.set_defaults(run=dashboard)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    add_get(commands, connection)
    add_edits(commands, connection)
    add_cordons(commands, connection)
    add_stopping(commands, connection)
    add_whatif(commands, connection)
    add_completion(commands)
    add_schema(commands)
    add_demo(commands, looks)

    return parser


class _Version(argparse.Action):
    """Looks the version up when it is asked for."""

    def __init__(self, **options: Any) -> None:
        super().__init__(nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from dstack_fleets_tui.cli.version import version_text

        sys.stdout.write(f"{PROGRAM} {version_text()}\n")
        parser.exit()
