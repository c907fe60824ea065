"""The dashboard from the command line: on a server, on a recording, on the demo."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from dstack_fleets_tui.cli.common import (
    FAILED,
    NO_CONNECTION,
    USAGE,
    Parser,
    connection_of,
    debug_settings,
    fail,
    guarded,
    is_told_where,
    known_projects,
    settings_of,
    several,
)
from dstack_fleets_tui.cli.several import connections_of, projects_of
from dstack_fleets_tui.output.notices import PROGRAM

if TYPE_CHECKING:
    from dstack_fleets_tui.settings.settings import Settings

_NO_TERMINAL = "The dashboard needs a terminal.", f"In scripts and pipes use `{PROGRAM} get`."


def look_options() -> Parser:
    """What says how it looks, for all commands that open it."""
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

    group.add_argument(
        "--record", metavar="FILE", type=Path, help="write all that is read to a file"
    )
    return looks


def add_demo(commands: Any, looks: Parser) -> None:
    """Adds the command that opens it on the demo."""
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
        action="append",
        default=[],
        metavar="NAME",
        help="something that goes wrong once all is there: spot-interrupted, router-down, or"
        " another; may be given several times, and an unknown name lists them",
    )
    demo.set_defaults(run=_demo)


def dashboard(args: argparse.Namespace) -> int:
    """Opens it on a server, or on a recording."""
    from dstack_api_client.errors import RecordingError

    try:
        return _replay(args) if "replay" in args else _on_server(args)
    except RecordingError as error:
        return fail(error.message, error.hint, FAILED)


def _on_server(args: argparse.Namespace) -> int:
    settings = settings_of(args)
    if settings.dashboard_projects and not is_told_where(args):
        args.project = settings.dashboard_projects
        args.project_source = settings.sources["dashboard_projects"]
    if several(args):
        found = connections_of(args, settings)
        if isinstance(found, int):
            return found
        connection, *beside = found.values()
    else:
        connection, beside = connection_of(args, settings), []
    for each in (connection, *beside):
        settings = guarded(settings, each)

    def read_settings() -> Settings:
        nonlocal settings
        settings = settings_of(args)
        return settings

    if "debug_settings" in args:
        return max(debug_settings(each, settings) for each in (connection, *beside))
    from dstack_api_client.connect.connection import ConfigError, Connection

    for each in (connection, *beside):
        if beside and isinstance(each, ConfigError):
            return fail(each.message, each.hint, NO_CONNECTION)
    if isinstance(connection, ConfigError) and not _is_at_terminal():
        return fail(connection.message, connection.hint, NO_CONNECTION)
    if not _is_at_terminal():
        return fail(*_NO_TERMINAL, FAILED)
    recorder = None
    if "record" in args:
        if beside:
            return fail("A recording covers one project.", "Use --project NAME.", USAGE)
        if isinstance(connection, ConfigError):
            return fail(connection.message, connection.hint, NO_CONNECTION)
        from dstack_api_client.recordings.recorder import Recorder

        recorder = Recorder(
            args.record,
            project=connection.project,
            url=connection.url,
            interval=settings.interval,
        )
    gc.disable()  # what is loaded stays: no collection has to walk through it, now or later
    from dstack_fleets_tui.app.run import run
    from dstack_fleets_tui.settings.projects import Projects

    gc.freeze()
    gc.enable()
    projects = Projects(
        known_projects,
        lambda name: connection_of(args, settings, name),
        guarded,
        lambda text: projects_of(args, text),
    )
    return run(
        connection,
        settings,
        again=lambda: connection_of(args, settings),
        projects=projects,
        recorder=recorder,
        read_settings=read_settings,
        beside=[each for each in beside if isinstance(each, Connection)],
    )


def _replay(args: argparse.Namespace) -> int:
    if "record" in args:
        return fail("A replay is not recorded.", "Leave out --record.", USAGE)
    if not _is_at_terminal():
        return fail(*_NO_TERMINAL, FAILED)
    from dstack_api_client.recordings.replay import Replay
    from dstack_fleets_tui.app.run import play
    from dstack_fleets_tui.recorded import read_named

    replay = Replay(read_named(args.replay))
    return play(replay, settings_of(args), read_settings=lambda: settings_of(args))


def _is_at_terminal() -> bool:
    # The screens are drawn on stderr: with that in a file, nobody would see them.
    return all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))


def _demo(args: argparse.Namespace) -> NoReturn:
    command = [sys.executable, "-m", "dstack_fleets_tui"]
    if "ascii" in args:
        command.append("--ascii")
    for name in ("interval", "theme", "mouse", "alert", "record"):
        if name in args:
            command += [f"--{name}", f"{getattr(args, name)}"]
    simulator = [sys.executable, "-m", "dstack_simulator", "--scenario", args.scenario]
    for fault in args.fault:
        simulator += ["--fault", fault]
    sys.stdout.flush()
    # The simulator takes this process's place, and with it its terminal and its signals; it says
    # itself what is missing when its extra is not installed.
    os.execv(sys.executable, [*simulator, "--", *command])


def _interval(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.5 <= value <= 3600:
        raise argparse.ArgumentTypeError("has to be 0.5 to 3600 seconds")
    return value
