"""What the logs of a service look like."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from textual.color import Color
from textual.theme import BUILTIN_THEMES

from dstack_api_client.replica.logs import LogLine
from dstack_fleets_tui.screens.logs import LogsScreen
from dstack_fleets_tui.tables.service_logs import Margin
from dstack_widgets.glyphs import UNICODE
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.memory_client import START, GivenClient
from tests.builders.snapshots import instance, replica, service, snapshot
from tests.pictures import sized
from tests.screens import on_screen
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("frozen")

SIZES = [(80, 24), (120, 30), (200, 50)]
GROUPS = ("prefill", "prefill", "decode", "decode", "decode", "router")
NOW = START + timedelta(minutes=8)
_REQUEST = 'INFO:     10.0.0.{}:54028 - "POST /v1/chat/completions HTTP/1.1" 200 OK'
_ENGINE = (
    "INFO 03-14 engine.py:812] Avg prompt throughput: 1532.1 tokens/s, Avg generation throughput:"
    " 812.4 tokens/s, Running: 17 reqs, Waiting: 0 reqs, GPU KV cache usage: 43.2%"
)
_ERROR = "ERROR CUDA out of memory. Tried to allocate 2.00 GiB (GPU 0; 79.15 GiB total capacity)"


def app_with():
    client = GivenClient()
    replicas = [
        replica("chat-70b", number, group=group, role=group, is_router=group == "router")
        for number, group in enumerate(GROUPS)
    ]
    for number in range(120):
        text = _ENGINE if number % 5 == 0 else _REQUEST.format(number)
        text = _ERROR if number % 17 == 0 else text
        client.write(text, at=number * 3, by=replicas[number % 6].submission_id)
    keys = tuple(each.key for each in replicas)
    shot = snapshot(
        services=[service("chat-70b", replica_keys=keys)],
        replicas=replicas,
        instances=[instance(jobs=keys)],
    )
    app = app_on(GivenFeed(live(replace(shot, observed_at=NOW))), client=client)
    app.now = lambda: NOW
    return app


async def test_logs(pictures):
    app = app_with()
    async with app.run_test(size=SIZES[0]) as pilot:
        await until(lambda: app.snapshot is not None)
        app.open_logs("s-chat-70b")
        await on_screen(app, LogsScreen)
        await until(lambda: len(app.screen.log_lines.passing) == 120)
        for size in SIZES:
            await pilot.resize_terminal(*size)
            await until(lambda size=size: app.screen.log_lines.size.width == size[0])
            await pictures.take(pilot, f"following-{sized(size)}")
        await pilot.resize_terminal(*SIZES[0])
        await until(lambda: app.screen.log_lines.size.width == SIZES[0][0])
        await pilot.press("m", "slash", *"error", "enter", "N", "w")
        await until(lambda: not app.screen.log_lines.wraps)
        await pictures.take(pilot, f"marked-{sized(SIZES[0])}")


def luminance(colour: Color) -> float:
    parts = [
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4
        for part in colour.normalized
    ]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.parametrize("name", [name for name in BUILTIN_THEMES if "ansi" not in name])
def test_names_of_replicas_can_be_read_in_every_theme_under_the_cursor_too(name):
    theme = BUILTIN_THEMES[name]
    colours = theme.to_color_system().generate()
    background = Color.parse(colours["background"])
    margin = Margin(UNICODE)
    margin.is_dark = theme.dark
    margin.learn(str(number) for number in range(8))
    for number in range(8):
        (_, style) = margin(LogLine(0, START, "", of=str(number)))[-1]
        for behind in (background, background.blend(Color.parse(colours["primary"]), 0.15)):
            darker, lighter = sorted(map(luminance, (Color.parse(style), behind)))
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (number, style)
