"""Charts of a service and a fleet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dstack_api_client.errors import CannotConnectError
from dstack_api_client.trends.watch import TrendWatch
from dstack_fleets_tui.screens.charts import ChartsScreen
from dstack_fleets_tui.screens.lists import FleetsScreen, ServicesScreen
from dstack_fleets_tui.tables import charts
from dstack_widgets.panels.charts import Charts
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
        app.post_message(app.Read(live(later, before), app._connection))
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
        "Not known yet: events tell nothing from before.",
        "Not known yet: what ended before is not priced.",
        said,
    ]
