"""Charts of a service and a fleet."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dstack_api_client.errors import CannotConnectError
from dstack_api_client.join.difference import Difference
from dstack_api_client.model.capabilities import Capabilities
from dstack_api_client.model.traffic import Traffic
from dstack_api_client.trends.trend import STEP
from dstack_api_client.trends.watch import TrendWatch
from dstack_fleets_tui.screens.charts import ChartsScreen
from dstack_fleets_tui.screens.fleets import FleetsScreen
from dstack_fleets_tui.screens.services import ServicesScreen
from dstack_fleets_tui.tables import charts
from dstack_widgets.panels.charts import Charts
from tests.builders import routed_service
from tests.builders.apps import live
from tests.builders.memory_client import GivenClient
from tests.builders.snapshots import service, snapshot
from tests.builders.trending import app_with_trends
from tests.screens import on_screen
from tests.waiting import until, until_equal


def titles(app):
    return [chart.title for chart in app.screen.query_one(Charts).charts]


def chart(app, title):
    return next(each for each in app.screen.query_one(Charts).charts if each.title == title)


async def test_charts_open_from_a_list_and_close_again():
    client = GivenClient()
    app = app_with_trends(client=client)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: app.snapshot is not None)
        await pilot.press("T")
        await on_screen(app, ChartsScreen)
        await until_equal(lambda: titles(app), ["GPUs", "Price, $/h", "GPU, %", "Replicas here"])
        await pilot.press("escape")
        await on_screen(app, FleetsScreen)
        await pilot.press("2", "T")
        await on_screen(app, ChartsScreen)
        await until(lambda: "Requests at each worker, 0 to 11" in titles(app))
        # What the server keeps comes beside the polls.
        await until(lambda: chart(app, "GPU, %").curves[0].values[-1] is not None)
        ready = chart(app, "Replicas").curves[0].values
        assert (min(ready), ready[-1]) == (1, 4)

        # One that goes keeps its charts, and it is said.
        before = app.snapshot
        gone = {key: each for key, each in before.services.items() if each.name != "chat-70b"}
        later = replace(before, services=gone)
        app.post_message(app.Read(live(later, before), app.session.connection))
        await until(lambda: "gone" in app.screen.query_one("#head").render().plain)
        assert "Replicas" in titles(app)

        client.failure = CannotConnectError("It is away.", "Wait.")
        app.screen.action_do("charts", "lab-h100")
        await until(lambda: "GPUs" in titles(app))
        await until(lambda: chart(app, "GPU, %").note == "Metrics not read. It is away. Wait.")
        await pilot.press("colon", *"charts no", "enter")
        await until(lambda: "There is no service and no fleet no." in str([*app.said.log]))
        await pilot.press("T")
        await on_screen(app, ServicesScreen)


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        (charts.Metrics(), "Reading the metrics."),
        (charts.Metrics(is_read=True), "No metrics: the server keeps none of these replicas."),
    ],
)
def test_charts_without_data_say_why(metrics, said):
    made = charts.of_service(service(), snapshot(), TrendWatch(), metrics)
    assert [each.note for each in made] == [
        "Not known yet: no earlier events.",
        "Not known yet: no earlier prices.",
        said,
    ]


@pytest.mark.parametrize(
    ("on_gateway", "features", "counted", "said"),
    [
        (False, {"traffic"}, False, "only a gateway counts them"),
        (True, set(), False, "only the placement add-on reports them"),
        (True, {"traffic"}, False, "the server has read none from the gateway lately"),
        (True, {"traffic"}, True, ""),
    ],
)
def test_why_there_are_no_requests_per_second(on_gateway, features, counted, said):
    chat = service(on_gateway=on_gateway)
    shot = replace(
        snapshot(services=[chat]),
        capabilities=Capabilities(features=frozenset(features)),
        traffic={chat.id: Traffic(192, 60, 0.41)} if counted else {},
    )
    told = charts.no_requests(chat, shot)
    assert told == (f"Requests per second are not known: {said}." if said else "")
    watch = TrendWatch()
    for step in range(2):
        later = replace(shot, observed_at=shot.observed_at + timedelta(seconds=STEP * step))
        watch.look(later, Difference())
    found = [each for each in charts.of_service(chat, shot, watch, charts.Metrics())
             if each.title == "Requests/s"]  # fmt: skip
    assert [round(each.curves[0].values[-1], 3) for each in found] == ([3.2] if counted else [])


def test_workers_without_a_request_are_said_to_have_none():
    shot = routed_service.snapshot()
    idle = {
        key: replace(view, workers=tuple(replace(each, load=0) for each in view.workers))
        for key, view in shot.routers.items()
    }
    watch = TrendWatch()
    for step in range(3):
        at = shot.observed_at + timedelta(seconds=STEP * step)
        watch.look(replace(shot, routers=idle, observed_at=at), Difference())
    (of_chat,) = shot.services.values()
    drawn = charts.of_service(of_chat, shot, watch, charts.Metrics())
    assert "Requests at each worker, none" in [each.title for each in drawn]
