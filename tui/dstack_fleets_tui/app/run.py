"""Runs the dashboard in this terminal until it ends by itself or by a signal."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import FrameType

from dstack_api_client.connect.connection import ConfigError, Connection
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.private_folder import remove_left_behind
from dstack_api_client.routers.watch import OverSsh
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.live.source import Source, open_source
from dstack_fleets_tui.settings.kept_views import KeptViews
from dstack_fleets_tui.settings.projects import Projects
from dstack_fleets_tui.settings.settings import Settings
from dstack_fleets_tui.terminal.terminal import (
    has_few_colours,
    let_hang_up_end_us,
    takes_mouse,
    theme_of,
)
from dstack_fleets_tui.terminal.terminal_driver import say_last
from dstack_fleets_tui.themes.files import read_themes, themes_folder

#: Signals that end the dashboard in order.
_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def run(
    connection: Connection | ConfigError,
    settings: Settings,
    *,
    again: Callable[[], Connection | ConfigError] | None = None,
    projects: Projects | None = None,
) -> int:
    """Runs the dashboard in this terminal.

    Args:
        connection: Where to connect, or why that is not known.
        settings: The user's settings.
        again: Finds the connection again.
        projects: How other projects are found.

    Returns:
        The exit code.
    """
    let_hang_up_end_us()
    store = Store.default()
    themes, notices = read_themes(themes_folder())
    chosen = KeptViews(store.folder).now.theme
    theme = settings.theme or theme_of(chosen, few_colours=has_few_colours())
    changed = {"theme": theme, "notices": (*settings.notices, *notices)}
    settings = settings.model_copy(update=changed)

    def opened(connection: Connection) -> AbstractAsyncContextManager[Source]:
        return open_source(
            connection,
            read_only=app.read_only_in(connection.project),
            over_ssh=OverSsh(settings.routers_over_ssh),
        )

    app = FleetsApp(
        connection,
        settings,
        again=again,
        open_source=opened,
        store=store,
        themes=themes,
        projects=projects,
    )
    app.asks_background = theme is None
    remove_left_behind()
    code = asyncio.run(_run(app, mouse=takes_mouse(settings.mouse, os.environ)))
    say_last(app.last_words)
    return app.return_code or 0 if code is None else code


async def _run(app: FleetsApp, *, mouse: bool) -> int | None:
    """Runs the app until it ends by itself or by a signal."""
    loop = asyncio.get_running_loop()

    def ended(number: int, frame: FrameType | None) -> None:
        app.end_soon()
        loop.call_soon_threadsafe(app.end, number)

    # Handlers of the loop would not be heard while it waits for a terminal that stalls.
    before = {number: signal.signal(number, ended) for number in _ENDING}
    try:
        return await app.run_async(mouse=mouse)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
