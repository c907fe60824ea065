"""What charts and sparklines look like."""

from __future__ import annotations

import pytest

from dstack_fleets_tui.screens.charts import ChartsScreen
from dstack_fleets_tui.settings.settings import Settings
from dstack_widgets.panels.charts import Charts
from tests.builders.trending import app_with_trends
from tests.pictures import sized
from tests.screens import on_screen
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("frozen")

SIZES = [(80, 24), (120, 30), (200, 50)]


async def shown(pilot, size):
    """Waits for charts at a size, with what the server keeps."""
    app = pilot.app
    await pilot.resize_terminal(*size)
    charts = app.screen.query_one(Charts)
    await until(lambda: charts.outer_size.width == size[0])
    await until(lambda: any(c.title == "GPU, %" and c.curves and not c.note for c in charts.charts))


async def test_charts(pictures):
    app = app_with_trends()
    async with app.run_test(size=(160, 45)) as pilot:
        await until(lambda: app.snapshot is not None)
        await pilot.press("2")
        await pictures.take(pilot, "services-160x45")
        await pilot.press("T")
        await on_screen(app, ChartsScreen)
        for size in SIZES:
            await shown(pilot, size)
            await pictures.take(pilot, f"service-{sized(size)}")
        await pilot.resize_terminal(*SIZES[0])
        app.screen.action_do("charts", "gpu-spot")
        await until(lambda: app.screen.query_one(Charts).charts[0].title == "GPUs")
        await shown(pilot, SIZES[0])
        await pictures.take(pilot, "fleet-80x24")


async def test_charts_in_ascii(pictures):
    app = app_with_trends(Settings(ascii=True))
    async with app.run_test(size=SIZES[0]) as pilot:
        await until(lambda: app.snapshot is not None)
        await pilot.press("2", "T")
        await on_screen(app, ChartsScreen)
        await shown(pilot, SIZES[0])
        await pictures.take(pilot)
