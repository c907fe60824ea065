from __future__ import annotations

import re

import pytest

from dstack_fleets_tui.actions import actions, key_names, places
from dstack_fleets_tui.actions.commands import CommandError, parse
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.pages.keys_page import page
from dstack_fleets_tui.screens.edit.fleet import FleetEditScreen
from dstack_fleets_tui.screens.edit.service import EditScreen
from dstack_fleets_tui.screens.events import EventsScreen
from dstack_fleets_tui.screens.fleet import FleetScreen
from dstack_fleets_tui.screens.fleets import FleetsScreen
from dstack_fleets_tui.screens.logs import LogsScreen
from dstack_fleets_tui.screens.problems import ProblemsScreen
from dstack_fleets_tui.screens.replica import ReplicaScreen
from dstack_fleets_tui.screens.runs import RunsScreen
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_fleets_tui.screens.services import ServicesScreen
from dstack_fleets_tui.screens.whatif import WhatIfScreen
from tests import ROOT

SCREENS = {
    screen.name_of_screen: screen
    for screen in (
        FleetsScreen,
        FleetScreen,
        ServicesScreen,
        ServiceScreen,
        ProblemsScreen,
        EventsScreen,
        ReplicaScreen,
        RunsScreen,
        WhatIfScreen,
        LogsScreen,
        EditScreen,
        FleetEditScreen,
    )
}


@pytest.mark.parametrize("name", SCREENS)
def test_every_action_of_a_screen_can_be_carried_out(name):
    screen = SCREENS[name]
    for action in actions.on_screen(name):
        if action.id in getattr(screen, "views", ()):
            continue
        owner = screen if hasattr(screen, f"do_{action.id}") else FleetsApp
        assert callable(getattr(owner, f"do_{action.id}")), action.id


@pytest.mark.parametrize("name", SCREENS)
def test_no_key_means_two_things_on_one_screen(name):
    keys = [key for action in actions.on_screen(name) for key in action.keys]
    assert len(keys) == len(set(keys))


def test_no_default_key_is_taken_by_terminals():
    taken = {f"ctrl+{letter}" for letter in "abhijm"}
    assert not taken & {key for action in actions.ACTIONS for key in action.keys}


def test_ids_are_unique():
    assert len(actions.BY_ID) == len(actions.ACTIONS)


def test_a_key_that_takes_away_is_harmless_nowhere():
    """Applying a plan is asked for by the plan itself, which is read before."""
    away = {"delete", "drain", "stop", "remove_lane", "remove_host", "own_lanes", "reset"}
    keys = {key for name in away for key in actions.BY_ID[name].keys}
    for action in actions.ACTIONS:
        assert action.id in away or not keys & set(action.keys), action.id


def test_the_page_of_keys_is_the_registry():
    written = (ROOT / "docs" / "keys.md").read_text()
    assert written == page(), "docs/keys.md is out of date: run `make docs`"


def test_a_row_of_the_page_has_the_cells_of_its_table():
    rows = [re.findall(r"(?<!\\)\|", line) for line in page().splitlines() if line[:1] == "|"]
    assert {len(row) for row in rows} == {5, 3}
    assert sum(len(row) == 5 for row in rows) > len(actions.ACTIONS)


def test_a_command_may_be_shortened_while_it_is_clear():
    assert parse("sor price", places.FLEETS) == ("sort", "price")
    assert parse("q", places.FLEETS) == ("quit", "")
    assert parse("view-back", places.FLEET) == ("view_back", "")


@pytest.mark.parametrize(
    ("text", "part"),
    [("nonsense", "no command 'nonsense'"), ("", "no command ''"), ("f", "fleets or filter")],
)
def test_a_command_that_is_none_says_so(text, part):
    with pytest.raises(CommandError, match=part):
        parse(text, places.SERVICES)


def test_keys_that_do_one_thing_are_told_apart_in_ascii_too() -> None:
    assert key_names.key_names(("left", "right")) == "←→"
    assert key_names.key_names(("left", "right"), ascii_only=True) == "left right"
    assert key_names.key_names(("enter",), ascii_only=True) == "enter"
