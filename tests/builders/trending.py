"""A project with half an hour behind it: lost replicas, a router's workers and a gateway."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

from dstack_api_client.join.difference import Difference
from dstack_api_client.model.router import RouterStatus, RouterView, Source, Sync, Worker
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.model.traffic import Traffic
from dstack_api_client.transport import wire
from dstack_api_client.trends.trend import STEP, STEPS
from dstack_api_client.trends.watch import TrendWatch
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.settings.settings import Settings
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.memory_client import GivenClient
from tests.builders.recorded_demo import load

#: Steps before now in which chat-70b had fewer replicas, from and to.
_LOST = range(18, 31)


def app_with_trends(
    settings: Settings | None = None, client: GivenClient | None = None
) -> FleetsApp:
    """The app on the recorded demo, which it has watched for half an hour."""
    shot = _routed(load())
    client = client or GivenClient()
    client.measured = busy_gpus(shot)
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
    traffic = {
        key: replace(each, requests=round(150 + 90 * math.sin(back / 9)))
        for key, each in shot.traffic.items()
    }
    return replace(shot, services=services, fleets=fleets, routers=routers, traffic=traffic)


def _routed(shot: Snapshot) -> Snapshot:
    """The demo with the list of the router of chat-70b, which is behind a gateway."""
    chat = shot.service_named("chat-70b")
    assert chat is not None
    workers = tuple(
        Worker(each.submission_id, Sync.IN_SYNC, "ready", load=4 + number, replica=each.key)
        for number, each in enumerate(shot.replicas_of(chat))
        if not each.is_router
    )
    view = RouterView(chat.id, "smg", RouterStatus.READY, Source.SERVER, workers=workers,
                      observed_at=shot.observed_at, ready=3, expected=3)  # fmt: skip
    services = {**shot.services, chat.id: replace(chat, on_gateway=True)}
    traffic = {chat.id: Traffic(requests=192, window=60, request_time=0.41)}
    return replace(shot, services=services, routers={chat.id: view}, traffic=traffic)


def busy_gpus(shot: Snapshot) -> wire.JobMetrics:
    """Metrics of half an hour, the newest of the moment of a snapshot."""
    values = [round(60 + 35 * math.sin(number / 20)) for number in range(6 * 30)]
    times = [shot.observed_at - timedelta(seconds=10 * number) for number in range(len(values))]
    return wire.JobMetrics([wire.Metric("gpu_util_percent_gpu0", times, values)])


def _part(service: Service) -> int:
    return service.ready // 2 + 1 if service.name.startswith("chat") else 0
