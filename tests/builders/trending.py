"""A project with half an hour behind it: replicas that were lost, and a router's workers."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

from dstack_api_client.join.difference import Difference
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.trends.trend import STEP, STEPS
from dstack_api_client.trends.watch import TrendWatch
from dstack_fleets_tui.app import FleetsApp
from dstack_fleets_tui.settings import Settings
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.memory_client import GivenClient
from tests.builders.recorded_demo import load

#: Steps before now in which chat-70b had fewer replicas, from and to.
_LOST = range(18, 31)


def app_with_trends(
    settings: Settings | None = None, client: GivenClient | None = None
) -> FleetsApp:
    """The app on the recorded demo, which it has watched for half an hour."""
    shot = load()
    app = app_on(GivenFeed(live(shot)), settings, client)
    app.now = lambda: shot.observed_at + timedelta(seconds=1)
    watch_half_an_hour(app.trends, shot)
    return app


def watch_half_an_hour(watch: TrendWatch, shot: Snapshot) -> None:
    """Shows a watch what was before a snapshot, as if it had been there."""
    for back in range(STEPS + 1, 0, -1):
        at = shot.observed_at - timedelta(seconds=STEP * back)
        watch.look(replace(_before(shot, back), observed_at=at), Difference())


def _before(shot: Snapshot, back: int) -> Snapshot:
    """What was so many steps before."""
    lost = 1 if back in _LOST else 0
    services = {
        key: replace(each, ready=max(0, each.ready - lost * _part(each)))
        for key, each in shot.services.items()
    }
    fleets = {
        key: replace(each, gpus_busy=each.gpus_busy * (0.5 if lost else 1.0))
        for key, each in shot.fleets.items()
    }
    routers = {
        key: replace(
            view,
            workers=tuple(
                replace(worker, load=round(6 + 5 * math.sin(back / 6 + number)))
                for number, worker in enumerate(view.workers)
            ),
        )
        for key, view in shot.routers.items()
    }
    return replace(shot, services=services, fleets=fleets, routers=routers)


def _part(service: Service) -> int:
    return service.ready // 2 + 1 if service.name.startswith("chat") else 0
