"""What the commands of the command line share: codes, settings, and how trouble is told."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from dstack_fleets_tui.actions.project_names import ALL
from dstack_fleets_tui.output.notices import say

if TYPE_CHECKING:
    from dstack_api_client.connect.connection import ConfigError, Connection
    from dstack_fleets_tui.settings.settings import Settings

DONE = 0
FAILED = 1
USAGE = 2
#: The server can't be reached, or does not let this user in, or it is not known where it is.
NO_CONNECTION = 3
#: `plan` found something to change.
CHANGES = 2
#: `get problems` found some.
WRONG = 4
#: It was applied, and was not done within `--wait`.
STILL_WAITING = 5
#: It was sent, and whether it was applied could not be read.
NOT_KNOWN = 6
INTERRUPTED = 130
#: What a shell reports of a program whose reader went away.
BROKEN_PIPE = 141

#: The options that are settings too, by the setting's name.
_SETTINGS = (
    "ascii",
    "interval",
    "theme",
    "mouse",
    "alert",
    "insecure_http",
    "ca_file",
    "read_only",
)


class Parser(argparse.ArgumentParser):
    """A parser that can end with another code where 2 means something else."""

    code: int = USAGE

    def error(self, message: str) -> NoReturn:
        """Says what is wrong with the arguments, and leaves."""
        self.print_usage(sys.stderr)
        self.exit(self.code, f"{self.prog}: error: {message}\n")


def settings_of(args: argparse.Namespace) -> Settings:
    """The settings that count for a command."""
    from dstack_fleets_tui.settings.settings import load

    settings = load({name: getattr(args, name, None) for name in _SETTINGS})
    if settings.sources["ascii"] == "default" and not shows_unicode(os.environ):
        sources = {**settings.sources, "ascii": "locale"}
        return replace(settings, ascii=True, sources=sources)
    return settings


def shows_unicode(environment: Mapping[str, str]) -> bool:
    """Whether the terminal is to show Unicode, by the locale that the environment names, if any."""
    names = (environment.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG"))
    named = next(filter(None, names), "utf-8")
    return "utf" in named.lower()


def connection_of(
    args: argparse.Namespace, settings: Settings, project: str | None = None
) -> Connection | ConfigError:
    """Where a command connects, or why that is not known.

    Args:
        args: Its arguments.
        settings: The settings.
        project: The project; that of the arguments without it.
    """
    from dstack_api_client.connect.connection import ConfigError
    from dstack_api_client.connect.discovery import Flags, connect

    flags = Flags(
        project=project or getattr(args, "project", None),
        project_source=getattr(args, "project_source", "--project"),
        server_url=getattr(args, "server_url", None),
        token_file=getattr(args, "token_file", None),
        ca_file=settings.ca_file,
        insecure_http=settings.insecure_http,
    )
    try:
        found = connect(flags)
    except ConfigError as error:
        return error
    if "log_file" in args:
        from dstack_fleets_tui.settings.log_file import hide

        hide(found.token)
    return found


def guarded(settings: Settings, connection: Connection | ConfigError) -> Settings:
    """The settings once it is known which projects there are."""
    from dstack_api_client.connect.connection import ConfigError
    from dstack_fleets_tui.settings.settings import with_known_projects

    if isinstance(connection, ConfigError) or not settings.projects:
        return settings
    return with_known_projects(settings, connection.project, known_projects())


def named_project(args: argparse.Namespace) -> str:
    """What `--project` says, or `DSTACK_PROJECT` without it; empty for neither."""
    text: str = getattr(args, "project", None) or os.environ.get("DSTACK_PROJECT", "")
    return text.strip()


def is_told_where(args: argparse.Namespace) -> bool:
    """Whether options or the environment name a project or a server."""
    server = getattr(args, "server_url", None) or os.environ.get("DSTACK_SERVER_URL")
    return bool(named_project(args) or server)


def several(args: argparse.Namespace) -> bool:
    """Whether several projects are named."""
    text = named_project(args)
    return "," in text or (text == ALL and ALL not in known_projects())


def known_projects(url: str | None = None) -> list[str]:
    """The projects of dstack's configuration; none where it can't be read.

    Args:
        url: Just those of this server.
    """
    from dstack_api_client.connect.connection import ConfigError, origin
    from dstack_api_client.connect.discovery import config_path, load

    try:
        entries = load(config_path()).projects
        return [each.name for each in entries if url is None or origin(each.url) == origin(url)]
    except ConfigError:
        return []


def debug_settings(connection: Connection | ConfigError, settings: Settings) -> int:
    """Prints where each value comes from."""
    from dstack_api_client.connect.connection import ConfigError
    from dstack_fleets_tui.output.table import Column, render
    from dstack_fleets_tui.settings.settings import settings_path

    rows = [
        (name, str(getattr(settings, name)), source) for name, source in settings.sources.items()
    ]
    if not isinstance(connection, ConfigError):
        sources = connection.sources
        rows = [
            ("server", connection.url, sources.url),
            ("project", connection.project, sources.project),
            ("token", "(hidden)", sources.token),
            *rows,
        ]
    columns = (Column("SETTING"), Column("VALUE"), Column("FROM"))
    sys.stdout.write(render(columns, rows))
    sys.stdout.write(f"\nThe settings file is looked for at {settings_path()}\n")
    for notice in settings.notices:
        say(notice)
    if isinstance(connection, ConfigError):
        return fail(connection.message, connection.hint, NO_CONNECTION)
    for warning in connection.warnings:
        say(warning)
    return DONE


def fail(message: str, hint: str, code: int) -> int:
    """Says what happened and what to do; gives the code back."""
    say(f"{message} {hint}".strip())
    return code


def code_of_reading(read: Callable[[], int]) -> int:
    """The exit code of a command that reads, with a line on what goes wrong.

    Args:
        read: Reads and prints; gives the code where nothing goes wrong.
    """
    from dstack_api_client.errors import ApiError
    from dstack_fleets_tui.headless.columns import NoSuchColumnError
    from dstack_fleets_tui.names.selection import NoSuchNameError

    try:
        return read()
    except NoSuchColumnError as error:
        return fail(str(error), "", USAGE)
    except ApiError as error:
        code = FAILED if isinstance(error, NoSuchNameError) else NO_CONNECTION
        return fail(error.message, error.hint, code)


def begun(args: argparse.Namespace) -> tuple[Connection, Settings] | int:
    """Where a headless command connects and its settings, their notices said.

    Returns:
        An exit code where the command ends here: its settings were asked for, or it is not known
        where to connect.
    """
    from dstack_api_client.connect.connection import ConfigError

    if several(args):
        code = getattr(args, "usage_code", USAGE)
        return fail(
            "This works on one project, and several are named.", "Use --project NAME.", code
        )
    settings = settings_of(args)
    connection = connection_of(args, settings)
    settings = guarded(settings, connection)
    if "debug_settings" in args:
        return debug_settings(connection, settings)
    for notice in settings.notices:
        say(notice)
    if isinstance(connection, ConfigError):
        return fail(connection.message, connection.hint, NO_CONNECTION)
    for warning in connection.warnings:
        say(warning)
    return connection, settings
