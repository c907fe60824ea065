"""Columns that the settings choose, and the menu to sort by one."""

from __future__ import annotations

from dstack_fleets_tui.screens.fleet import FleetScreen
from dstack_fleets_tui.screens.parts.asking import PickScreen
from dstack_fleets_tui.screens.parts.columns import chosen
from dstack_fleets_tui.settings.settings import Settings, load
from dstack_widgets.table.cells import Column
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.snapshots import fleet, snapshot
from tests.screens import SIZE, filled, on_screen, screen_text, table
from tests.waiting import until, until_equal


def test_what_is_not_named_is_hidden_and_the_first_stays():
    columns = [
        Column("a", "A"),
        Column("b", "BEE"),
        Column("c", "C"),
        Column("d", "D", hidden=True),
    ]
    found = chosen(columns, ["bee", "D", "nope"])
    assert [(each.key, each.hidden) for each in found] == [
        ("a", False),
        ("b", False),
        ("c", True),
        ("d", True),
    ]
    assert found[0].priority == found[1].priority > found[2].priority


def test_settings_take_lists_of_columns_or_wide(tmp_path):
    file = tmp_path / "settings.yml"
    file.write_text("columns: {services: [health], replicas: wide}\n")
    assert load({}, {}, file).columns == {"services": ["health"], "replicas": "wide"}
    for wrong in ("{clouds: wide}", "{services: narrow}"):
        found = load({}, {"DSTACK_FLEETS_TUI_COLUMNS": wrong}, file)
        assert "DSTACK_FLEETS_TUI_COLUMNS: columns is not used" in found.notices[0]
        assert found.columns["replicas"] == "wide"


async def test_lists_show_the_columns_of_the_settings_and_sort_by_one_that_is_picked():
    fleets = [fleet("a", price=1.0), fleet("b", price=300.0), fleet("c", price=20.0)]
    settings = Settings(columns={"fleets": ["$/h", "cost"], "instances": "wide"})
    app = app_on(GivenFeed(live(snapshot(fleets=fleets))), settings)
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        assert [*table(app).visible_columns] == ["fleet", "price"]
        await until(lambda: "fleets has no column cost" in app.said.log[-1].message)
        for wanted in (["f-a", "f-c", "f-b"], ["f-b", "f-c", "f-a"]):
            await pilot.press("M")
            await on_screen(app, PickScreen)
            await until(lambda: app.screen.takes_keys, what="that it takes keys")
            assert "KIND" not in screen_text(app).partition("Sort by")[2]
            await pilot.press("down", "enter")
            await until_equal(lambda: list(table(app).keys), wanted)
        app.open_fleet("f-a")
        await on_screen(app, FleetScreen)
        await until(lambda: table(app).show_all_columns, what="all columns")
