"""What the page of a replica looks like."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from math import sin

import pytest

from dstack_fleets_tui.settings.settings import Settings
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.memory_client import START, GivenClient, event, metrics, run, submission
from tests.builders.snapshots import instance, replica, service, snapshot
from tests.pictures import sized
from tests.screens import screen_text, table
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("frozen")

SIZES = [(80, 24), (120, 30), (200, 50)]
VIEWS = {"overview": "o", "logs": "l", "history": "h", "events": "v"}
GIB = 1024**3
_WAVE = [55 + 40 * sin(number / 6) for number in range(60)]


def app_with(settings=None):
    client = GivenClient()
    client.known_runs["s-chat"] = run(
        submission(0, exit_status=137, termination_reason_message="out of memory",
                   finished_at=START + timedelta(minutes=1)),
        submission(1, "running"),
    )  # fmt: skip
    client.measured = metrics(
        **{f"gpu_util_percent_gpu{gpu}": [max(0, each - 3 * gpu) for each in _WAVE]
           for gpu in range(4)},
        **{f"gpu_memory_usage_bytes_gpu{gpu}": [(60 + each / 10) * GIB for each in _WAVE]
           for gpu in range(4)},
        gpu_memory_total_bytes=[80 * GIB] * 60,
        memory_working_set_bytes=[(200 + number) * GIB for number in range(60)],
        memory_total_bytes=[512 * GIB] * 60,
        cpu_usage_percent=[each * 30 for each in _WAVE],
        cpus_detected_num=[64] * 60,
    )  # fmt: skip
    for number in range(40):
        client.write(
            f'INFO:     10.0.0.{number}:54028 - "POST /v1/chat/completions HTTP/1.1" 200 OK',
            at=number * 3,
        )
    client.recorded = [
        event(0, "Job created on retry. Status: SUBMITTED"),
        event(1, "Job status changed PULLING -> RUNNING"),
    ]
    one = replica(
        group="decode",
        submission_id="j-chat-0-1",
        submission_num=1,
        submitted_at=START + timedelta(minutes=1),
        deployment_num=6,
    )
    shot = snapshot(
        services=[service(deployment_num=7)],
        replicas=[one],
        instances=[instance(jobs=(one.key,), total_blocks=2)],
    )
    now = START + timedelta(minutes=8)
    app = app_on(GivenFeed(live(replace(shot, observed_at=now))), settings, client)
    app.now = lambda: now
    app.given = client
    return app


def tall(app):
    """Whether all of the overview has room."""
    return app.size.height > 30


async def opened(app):
    await until(lambda: app.snapshot is not None)
    app.open_replica(next(iter(app.snapshot.replicas)))
    await until(lambda: app.given.asked["run"])


async def viewed(pilot, key):
    app = pilot.app
    await pilot.press(key)
    await until(lambda: "OK" in screen_text(app) if key == "o" and tall(app) else True)
    await until(lambda: key == "o" or table(app).row_count)
    await pilot.pause()


async def test_replica(pictures):
    for size in SIZES:
        app = app_with()
        async with app.run_test(size=size) as pilot:
            await opened(app)
            for view, key in VIEWS.items():
                await viewed(pilot, key)
                await pictures.take(pilot, f"{view}-{sized(size)}")


async def test_replica_in_ascii(pictures):
    app = app_with(Settings(ascii=True))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app)
        await viewed(pilot, "o")
        await pictures.take(pilot)


async def test_replica_without_colour(pictures, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    app = app_with()
    async with app.run_test(size=(120, 30)) as pilot:
        await opened(app)
        await viewed(pilot, "o")
        await pictures.take(pilot)
