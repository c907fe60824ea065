"""Only what is wrong, in each list that has a key for it."""

from __future__ import annotations

from dataclasses import replace

from dstack_fleets_tui.screens.fleet import FleetScreen
from dstack_fleets_tui.screens.parts.only_wrong import OnlyWrong
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.snapshots import fleet, instance, replica, service, snapshot
from tests.screens import SIZE, filled, on_screen, screen_text, table
from tests.waiting import until, until_equal


def test_a_list_of_what_is_wrong_says_what_it_leaves_out():
    only = OnlyWrong()
    rows = {"a": 1, "b": 2}
    assert only.of(rows, lambda: {"b", "gone"}) == rows
    assert [*only.notes()] == []
    only.on = True
    assert only.of(rows, lambda: {"b", "gone"}) == {"b": 2}
    assert [*only.notes()] == ["wrong: 1 of 2, w shows all"]
    assert only.empty_text("fleet", "No fleets.").startswith("Nothing is wrong with any fleet.")
    assert only.of({}, lambda: ()) == {}
    assert only.empty_text("fleet", "No fleets.") == "No fleets."


def shot():
    """A fleet with an instance that can't be reached, and one without anything wrong."""
    members = [instance("a", num=0), instance("b", num=1, unreachable=True)]
    wrong = fleet("gpu", instance_ids=("i-a", "i-b"), states={"busy": 2})
    made = snapshot(
        fleets=[wrong, fleet("calm", instance_ids=(), states={}, nodes_min=0, nodes_target=0)],
        instances=members,
        services=[service("bad", status="failed"), service("good")],
        replicas=[replica("good", 0, instance_id="i-a")],
    )
    return replace(made, instances={each.id: each for each in members})


async def test_w_leaves_out_what_is_well_in_every_list():
    app = app_on(GivenFeed(live(shot())))
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        assert len(table(app).keys) == 2
        await pilot.press("w")
        await until_equal(lambda: list(table(app).keys), ["f-gpu"])
        await until(lambda: "wrong: 1 of 2" in screen_text(app))
        await pilot.press("enter")
        await on_screen(app, FleetScreen)
        await until_equal(lambda: len(table(app).keys), 2)
        await pilot.press("w")
        await until_equal(lambda: list(table(app).keys), ["i-b"])
        await pilot.press("2")
        await until_equal(lambda: len(table(app).keys), 2)
        await pilot.press("w")
        await until_equal(lambda: list(table(app).keys), ["s-bad"])
        await pilot.press("1", "1", "w")
        await until_equal(lambda: len(table(app).keys), 2)
