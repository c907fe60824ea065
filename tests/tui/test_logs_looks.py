"""What the logs of a service look like."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from textual.color import Color

from dstack_fleets_tui.screens.logs import LogsScreen
from dstack_fleets_tui.tables.service_logs import colours
from dstack_widgets.drawing.tones import READABLE, contrast
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.memory_client import START, GivenClient
from tests.builders.snapshots import instance, replica, service, snapshot
from tests.contrast import GROUNDS, THEMES, shown
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


@pytest.mark.parametrize("name", THEMES)
def test_names_of_replicas_can_be_read_in_every_theme_and_are_no_louder_than_a_warning(name):
    variables = shown(THEMES[name])
    for ground in GROUNDS:
        behind, warning = Color.parse(variables[ground]), Color.parse(variables["text-warning"])
        found = [contrast(Color.parse(each), behind) for each in colours(variables, THEMES[name])]
        assert min(found) >= READABLE
        assert max(found) < contrast(warning, behind)
