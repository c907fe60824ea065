"""What the columns of a table are can be asked."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from textual.widgets import Tooltip

from dstack_fleets_tui.screens.columns import ColumnsScreen
from dstack_fleets_tui.screens.parts.asking import PickScreen
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_fleets_tui.tables import (
    deployments,
    events,
    fleets,
    group_rows,
    instances,
    logs,
    problems,
    replicas,
    runs,
    services,
    submissions,
    whatif,
    workers,
)
from dstack_fleets_tui.tables.meanings import meaning
from dstack_widgets.table.cells import Column
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.sample_look import LOOK
from tests.screens import filled, on_screen, screen_text, table
from tests.waiting import until

CHAT = LOOK.snapshot.services["chat-id"]
TABLES: Sequence[tuple[str, Sequence[Column]]] = (
    ("fleets", fleets.COLUMNS),
    ("services", services.COLUMNS),
    ("problems", problems.COLUMNS),
    ("events", events.COLUMNS),
    ("events_here", events.COLUMNS),
    ("runs", runs.COLUMNS),
    ("what if", whatif.COLUMNS),
    ("instances", instances.COLUMNS),
    ("distribution", group_rows.COLUMNS),
    ("replicas", replicas.COLUMNS),
    ("router", workers.COLUMNS),
    ("rollout", deployments.COLUMNS),
    ("history", submissions.COLUMNS),
    ("logs", logs.COLUMNS),
)


@pytest.mark.parametrize(("view", "columns"), TABLES)
def test_every_column_has_a_meaning(view: str, columns: Sequence[Column]) -> None:
    assert [each.key for each in columns if not (each.hidden or meaning(view, each.key))] == []


async def test_the_columns_in_front_are_said() -> None:
    app = app_on(GivenFeed(live(LOOK.snapshot)))
    async with app.run_test(size=(100, 40)) as pilot:
        await filled(app)
        app.screen.action_do("columns")
        await on_screen(app, ColumnsScreen)
        await until(lambda: "idle instances, free blocks" in screen_text(app), what="ROOM")
        assert "Not shown, for want of room" in screen_text(app)
        await pilot.press("escape")
        app.open_service("chat-id")
        await on_screen(app, ServiceScreen)
        await until(lambda: table(app).row_count, what="lanes")
        told = {each.key: meaning("distribution", each.key) for each in table(app).columns}
        assert "target" in told
        assert all(told.values())
        await pilot.press("o")
        await until(lambda: app.screen.view == "router", what="the router")
        app.screen.action_do("columns")
        await on_screen(app, ColumnsScreen)
        await until(lambda: "against what dstack expects" in screen_text(app), what="SYNC")
        assert "chat: Router" in screen_text(app)


async def test_a_header_is_said_under_the_mouse_and_in_the_menu_that_sorts() -> None:
    app = app_on(GivenFeed(live(LOOK.snapshot)))
    async with app.run_test(size=(80, 24), tooltips=True) as pilot:
        await filled(app)
        await pilot.press("2")
        await until(lambda: "health" in table(app).visible_columns, what="services")
        said = meaning("services", "health")
        place = next(each for each in table(app)._placed.places if each.column.key == "health")
        await pilot.hover(table(app), offset=(place.x + 1, 0))
        await until(lambda: said in " ".join(str(app.screen.query_one(Tooltip).content).split()))
        assert app.screen.query_one(Tooltip).display
        await pilot.hover(table(app), offset=(place.x + 1, 3))
        await until(lambda: table(app).tooltip is None, what="no tooltip over rows")
        await pilot.press("M")
        await on_screen(app, PickScreen)
        await until(lambda: "HEALTH   DOWN, DEGRADED" in screen_text(app), what="what it says")
        # It goes on below itself, not below the name.
        assert " " * 11 + "take requests" in screen_text(app)
