"""`--project a,b` and `--project all`: which projects, and where each of them is."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dstack_fleets_tui.actions.project_names import ALL
from dstack_fleets_tui.cli.common import (
    DONE,
    NO_CONNECTION,
    USAGE,
    WRONG,
    connection_of,
    debug_settings,
    fail,
    guarded,
    known_projects,
    named_project,
    settings_of,
)
from dstack_fleets_tui.output.notices import say

if TYPE_CHECKING:
    from dstack_api_client.connect.connection import ConfigError, Connection
    from dstack_fleets_tui.headless.several import Outcome
    from dstack_fleets_tui.settings.settings import Settings


def begun_in_several(
    args: argparse.Namespace,
) -> tuple[Mapping[str, Connection | ConfigError], Settings] | int:
    """Where a headless command connects for each project, and its settings, their notices said.

    Returns:
        An exit code where the command ends here, as `begun` does.
    """
    from dstack_api_client.connect.connection import ConfigError

    settings = settings_of(args)
    connections = connections_of(args, settings)
    if isinstance(connections, int):
        return connections
    settings = _guarded_in_all(settings, connections)
    if "debug_settings" in args:
        return max(debug_settings(connection, settings) for connection in connections.values())
    for notice in settings.notices:
        say(notice)
    found = [each for each in connections.values() if not isinstance(each, ConfigError)]
    for warning in dict.fromkeys(warning for each in found for warning in each.warnings):
        say(warning)
    return connections, settings


def code_of(outcome: Outcome) -> int:
    """The exit code of what was read of several projects."""
    if outcome.unread:
        return NO_CONNECTION  # what is wrong there is not known, and may be worse
    return WRONG if outcome.wrong else DONE


def connections_of(
    args: argparse.Namespace, settings: Settings
) -> Mapping[str, Connection | ConfigError] | int:
    """Where each of several projects is, or why that is not known.

    Returns:
        By project; an exit code where there is none, or a token would go to several servers.
    """
    from dstack_api_client.connect.connection import ConfigError, refuse_shared_token

    names = projects_of(args, named_project(args))
    if not names:
        hint = "Name them: --project A,B; or add them with `dstack project add`."
        return fail("dstack's configuration has no project here.", hint, NO_CONNECTION)
    found = {name: connection_of(args, settings, name) for name in names}
    try:
        refuse_shared_token(each for each in found.values() if not isinstance(each, ConfigError))
    except ConfigError as error:
        return fail(error.message, error.hint, USAGE)
    return found


def projects_of(args: argparse.Namespace, text: str) -> list[str]:
    """The projects that are meant: those named with commas between them, or all."""
    if text == ALL and ALL not in known_projects():
        return _all(args)
    return [*dict.fromkeys(filter(None, map(str.strip, text.split(","))))]


def _guarded_in_all(
    settings: Settings, connections: Mapping[str, Connection | ConfigError]
) -> Settings:
    """The settings once it is known which projects there are."""
    for connection in connections.values():
        settings = guarded(settings, connection)
    return settings


def _all(args: argparse.Namespace) -> list[str]:
    """The projects of dstack's configuration; of the server only, where one is named."""
    token = os.environ.get("DSTACK_TOKEN")
    url = getattr(args, "server_url", None) or (token and os.environ.get("DSTACK_SERVER_URL"))
    return known_projects(url or None)
