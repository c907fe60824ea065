"""What the page of a replica looks like."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from math import sin

import pytest

from dstack_fleets_tui.settings import Settings
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.memory_client import START, GivenClient, event, metrics, run, submission
from tests.builders.snapshots import instance, replica, service, snapshot
from tests.screens import screen_text, table
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("frozen")

SIZES = [(80, 24), (120, 30), (160, 40)]
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


def going(key):
    async def go(pilot):
        app = pilot.app
        await until(lambda: app.snapshot is not None)
        app.open_replica(next(iter(app.snapshot.replicas)))
        await until(lambda: app.given.asked["run"])
        await pilot.press(key)
        await until(lambda: "OK" in screen_text(app) if key == "o" and tall(app) else True)
        await until(lambda: key == "o" or table(app).row_count)
        await pilot.pause()

    return go


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("view", VIEWS)
def test_replica(snap_compare, view, size):
    assert snap_compare(app_with(), terminal_size=size, run_before=going(VIEWS[view]))


def test_replica_in_ascii(snap_compare):
    app = app_with(Settings(ascii=True))
    assert snap_compare(app, terminal_size=(80, 24), run_before=going("o"))


def test_replica_without_colour(snap_compare, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(app_with(), terminal_size=(120, 30), run_before=going("o"))
