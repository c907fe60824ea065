"""Runs the dashboard in this terminal until it ends by itself or by a signal."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

from dstack_api_client.connect.connection import ConfigError, Connection, Sources
from dstack_api_client.edits.store.files import state_folder
from dstack_api_client.private_folder import remove_left_behind
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.app.opening import OpeningApp
from dstack_fleets_tui.app.reloading import OF_READING, Own
from dstack_fleets_tui.settings.kept_views import KeptViews
from dstack_fleets_tui.settings.own_keys import USUAL_KEYS, OwnKeys, keys_path, read_keys
from dstack_fleets_tui.settings.settings import Settings, settings_path
from dstack_fleets_tui.terminal.terminal import (
    has_few_colours,
    let_hang_up_end_us,
    takes_mouse,
    terminal_is_gone,
    theme_of,
)
from dstack_fleets_tui.themes.files import read_themes, themes_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from types import FrameType

    from textual.theme import Theme

    from dstack_api_client.edits.store.keeping import Store
    from dstack_api_client.recordings.recorder import Recorder
    from dstack_api_client.recordings.replay import Replay
    from dstack_fleets_tui.live.source import Source
    from dstack_fleets_tui.settings.projects import Projects

#: Signals that end the dashboard in order.
_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def run(
    connection: Connection | ConfigError,
    settings: Settings,
    *,
    again: Callable[[], Connection | ConfigError] | None = None,
    projects: Projects | None = None,
    recorder: Recorder | None = None,
    read_settings: Callable[[], Settings] | None = None,
    beside: Sequence[Connection] = (),
) -> int:
    """Runs the dashboard in this terminal.

    Args:
        connection: Where to connect, or why that is not known.
        settings: The user's settings.
        again: Finds the connection again.
        projects: How other projects are found.
        recorder: What writes a recording of it.
        read_settings: Reads the settings again.
        beside: Further projects, shown in the same lists.

    Returns:
        The exit code.
    """
    settings, own = _prepared(settings)

    def opened(connection: Connection) -> AbstractAsyncContextManager[Source]:
        from dstack_api_client.routers.watch import OverSsh
        from dstack_fleets_tui.live.source import Recording, open_source

        recording = None if recorder is None else Recording(recorder, lambda e: app.warn(str(e)))
        return open_source(
            connection,
            read_only=app.read_only_in(connection.project),
            over_ssh=OverSsh(app.routers_over_ssh),
            recording=recording,
        )

    app = OpeningApp(
        connection,
        settings,
        again=again,
        open_source=opened,
        themes=own.themes,
        projects=projects,
        keys=own.keys,
        own=None if read_settings is None else lambda: _own(read_settings()),
        beside=beside,
    )
    app.recorder = recorder
    try:
        return _to_the_end(app, settings)
    finally:
        if recorder is not None:
            recorder.close()


def play(
    replay: Replay, settings: Settings, *, read_settings: Callable[[], Settings] | None = None
) -> int:
    """Plays a recording in this terminal.

    Args:
        replay: It.
        settings: The user's settings.
        read_settings: Reads the settings again.

    Returns:
        The exit code.
    """
    from dstack_api_client.edits.store.keeping import Store

    settings, own = _prepared(settings)
    app = app_playing(
        replay,
        settings,
        store=Store.default(),
        themes=own.themes,
        keys=own.keys,
        own=None if read_settings is None else lambda: _own(read_settings()),
    )
    return _to_the_end(app, settings)


def app_playing(
    replay: Replay,
    settings: Settings,
    *,
    store: Store,
    themes: Sequence[Theme] = (),
    keys: OwnKeys = USUAL_KEYS,
    own: Callable[[], Own] | None = None,
    terminal_is_gone: Callable[[], bool] = terminal_is_gone,
) -> FleetsApp:
    """The dashboard on a recording; what it takes is as the dashboard's own."""
    head, here = replay.recording.head, "the recording"
    from dstack_api_client.recordings.replay_client import REFUSED
    from dstack_fleets_tui.live.source import open_replay

    # How a server is read means nothing here, and stays whatever is read again.
    fixed = {
        **{name: getattr(settings, name) for name in OF_READING},
        "interval": head.interval,
        "guard_notices": (REFUSED,),
    }

    def read_again(read: Callable[[], Own]) -> Own:
        found = read()
        return replace(found, settings=replace(found.settings, **fixed))

    app = FleetsApp(
        Connection(head.url, head.project, "", Sources(here, here, here)),
        replace(settings, **fixed),
        now=replay.now,
        open_source=lambda _: open_replay(replay),
        terminal_is_gone=terminal_is_gone,
        store=store,
        themes=themes,
        keys=keys,
        own=None if own is None else lambda: read_again(own),
    )
    app.replay = replay
    return app


def _prepared(settings: Settings) -> tuple[Settings, Own]:
    """What the user chose of how it looks."""
    let_hang_up_end_us()
    own = _own(settings)
    chosen = KeptViews(state_folder()).now.theme
    theme = settings.theme or theme_of(chosen, few_colours=has_few_colours())
    return replace(own.settings, theme=theme), own


def _to_the_end(app: FleetsApp, settings: Settings) -> int:
    app.asks_background = settings.theme is None
    remove_left_behind()
    code = asyncio.run(_run(app, mouse=takes_mouse(settings.mouse, os.environ)))
    if app.last_words:
        from dstack_fleets_tui.terminal.terminal_driver import say_last

        say_last(app.last_words)
    return app.return_code or 0 if code is None else code


def _own(settings: Settings) -> Own:
    """What the user may set, with what is wrong with the themes among the notices."""
    themes, notices = read_themes(themes_folder())
    told = replace(settings, notices=(*settings.notices, *notices))
    return Own(told, read_keys(keys_path(settings_path())), themes)


async def _run(app: FleetsApp, *, mouse: bool) -> int | None:
    """Runs the app until it ends by itself or by a signal."""
    loop = asyncio.get_running_loop()

    def ended(number: int, frame: FrameType | None) -> None:
        app.end_soon()
        loop.call_soon_threadsafe(app.end, number)

    # Handlers of the loop would not be heard while it waits for a terminal that stalls.
    before = {number: signal.signal(number, ended) for number in _ENDING}
    try:
        code = await app.run_async(mouse=mouse)
        await app.closed()
        return code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
