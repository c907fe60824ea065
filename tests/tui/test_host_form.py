"""The hosts of an SSH fleet in its editor: added, removed and put back."""

from __future__ import annotations

import pytest
from textual.widgets import Input

from dstack_api_client.edits.fleet.fleet import FleetEdit
from dstack_api_client.edits.service.checks import Problem
from dstack_fleets_tui.editing import host_form
from dstack_fleets_tui.screens.edit.fleet import FleetEditScreen
from dstack_widgets.inputs.edit_grid import GridRow
from dstack_widgets.panels.findings import Findings
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.ssh_fleet_edit import edit, host, snapshot
from tests.pictures import sized
from tests.waiting import until, until_equal


def texts(row: GridRow) -> list[str]:
    return [cell.text for cell in row.cells] + [row.note]


def test_hosts_stand_with_what_the_fleet_says_of_all():
    changed = edit(host("a", user="root", blocks=4), "b").without_host("b").with_host("c port=22")
    assert list(map(texts, host_form.rows(changed))) == [
        ["HOST", "USER", "PORT", "INTERNAL IP", "BLOCKS", "KEY", ""],
        ["a", "root", "–", "–", "4", "~/.ssh/lab", ""],
        ["b", "ubuntu", "–", "–", "1", "~/.ssh/lab", "removed"],
        ["c", "ubuntu", "22", "–", "1", "~/.ssh/lab", "added"],
    ]


def test_only_a_host_that_is_added_takes_another_name():
    changed = edit().with_host("c port=22")
    kept = host_form.typed(changed, "10.0.0.1", "d")
    assert isinstance(kept, Problem)
    assert "keeps its settings" in kept.line
    renamed = host_form.typed(changed, "c", "d")
    assert isinstance(renamed, FleetEdit)
    assert renamed.configuration["ssh_config"]["hosts"][-1] == {"hostname": "d", "port": 22}
    wrong = host_form.typed(changed, "c", "d port=no")
    assert isinstance(wrong, Problem)


@pytest.mark.usefixtures("frozen")
async def test_keys_add_remove_and_put_back(pictures) -> None:
    app = app_on(GivenFeed(live(snapshot())))
    async with app.run_test(size=(120, 30)) as pilot:
        await until(lambda: app.snapshot is not None)
        await app.push_screen(FleetEditScreen("lab", "f-lab", edit()))
        screen = app.screen
        assert isinstance(screen, FleetEditScreen)

        def names() -> list[str]:
            return [each.name for each in screen.edit.hosts]

        await pilot.press("D")
        await until_equal(names, ["10.0.0.2"])
        findings = screen.query_one(Findings)
        await until(lambda: "refuses the whole change" in str(findings.findings), what="the danger")
        await pilot.press("a")
        await until(lambda: isinstance(app.focused, Input), what="the command line")
        await pilot.press(*"10.0.0.3 port=2200", "enter")
        await until_equal(names, ["10.0.0.2", "10.0.0.3"])
        await until_equal(lambda: screen.grid.place, host_form.place_of("10.0.0.3"))
        for size in ((80, 24), (120, 30), (200, 50)):
            await pilot.resize_terminal(*size)
            await pictures.take(pilot, f"changed-{sized(size)}")
        await pilot.press("up", "up", "D")
        await until_equal(names, ["10.0.0.2", "10.0.0.3", "10.0.0.1"])
