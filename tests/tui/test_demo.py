"""The demo: a card of what to try, and faults that are asked for by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dstack_fleets_tui.actions.actions import BY_ID
from dstack_fleets_tui.actions.commands import CommandError
from dstack_fleets_tui.actions.places import PROBLEMS
from dstack_fleets_tui.host import demo
from dstack_fleets_tui.host.demo import Demo
from dstack_fleets_tui.screens.card import CardScreen
from dstack_fleets_tui.screens.problems import ProblemsScreen
from dstack_fleets_tui.settings.kept_views import KeptViews
from dstack_simulator.scenarios import asked_faults, scenario
from tests.builders import routed_service
from tests.builders.apps import GivenFeed, app_on, live
from tests.screens import on_screen
from tests.waiting import until

FAULTS = scenario.load("lanes").faults


async def test_a_fault_is_set_by_its_name(tmp_path: Path) -> None:
    taken: list[scenario.NamedFault] = []
    environ = asked_faults.listen(tmp_path / "faults", FAULTS, taken.append)
    assert set(environ) == {demo.PIPE, demo.NAMES}
    asked = Demo.of(environ)
    assert asked.set_fault("spot-interrupted").endswith(".")
    asked.set_fault("router-down")
    await until(lambda: taken == [FAULTS["spot-interrupted"], FAULTS["router-down"]], what="both")
    with pytest.raises(
        CommandError, match=r"has no fault nothing\. Use one of: spot-interrupted, "
    ):
        asked.set_fault("nothing")


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({}, "start `dstack-fleets-tui demo`"),
        ({demo.PIPE: "/x", demo.NAMES: "{"}, "start `dstack-fleets-tui demo`"),
        ({demo.PIPE: "/nowhere", demo.NAMES: json.dumps({"gone": "it"})}, "does not answer"),
    ],
)
def test_where_there_is_no_demo_nothing_goes_wrong(environ: dict[str, str], why: str) -> None:
    with pytest.raises(CommandError, match=why):
        Demo.of(environ).set_fault("gone")


async def test_the_card_comes_once_and_its_keys_lead_on(tmp_path: Path) -> None:
    def begun():
        app = app_on(GivenFeed(live(routed_service.snapshot())), untouched=True)
        app.views = KeptViews(tmp_path)
        app.demo = Demo(tmp_path / "nowhere", {"spot-interrupted": "the cloud takes one back"})
        return app

    app = begun()
    async with app.run_test(size=(80, 24)) as pilot:
        await on_screen(app, CardScreen)
        await until(lambda: app.screen.takes_keys, what="the card is drawn")
        await pilot.press("3")
        await on_screen(app, ProblemsScreen)
        await until(lambda: KeptViews(tmp_path).now.card, what="that it was put away")
        assert "fault spot-interrupted" in app.screen.complete("fault ")
        assert app.screen.complete("faul") == ["fault"]
        assert BY_ID["fault"] in app.offered(PROBLEMS)
        app.screen.action_do("fault", "spot-interrupted")
        assert app.said.log[-1].message.startswith("The demo does not answer: ")
    app = begun()
    async with app.run_test(size=(80, 24)):
        await on_screen(app, ProblemsScreen)
        app.demo = Demo()
        assert app.screen.complete("faul") == []
        assert BY_ID["fault"] not in app.offered(PROBLEMS)
