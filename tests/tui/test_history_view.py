"""The deployments of a service: what is said of each, and the plan of the way back to one."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from dstack_api_client.edits.base.base import read_service
from dstack_api_client.edits.errors import NotKeptError
from dstack_api_client.edits.history.past import PastDeployment
from dstack_api_client.edits.store.audit_log import ChangedField
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.events.stream import event_of
from dstack_api_client.feed.feed import Feed
from dstack_fleets_tui.headless.looking import poll
from dstack_fleets_tui.headless.plan import Desk
from dstack_fleets_tui.headless.undo import plan_back_to
from dstack_fleets_tui.screens.edit.plan import PlanScreen
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_fleets_tui.screens.services import ServicesScreen
from dstack_fleets_tui.tables import history
from dstack_fleets_tui.tables.looks import Looks
from dstack_widgets.table.cells import plain_text
from tests.builders.apps import app_reading
from tests.builders.changing_server import ChangingServer
from tests.builders.memory_client import event
from tests.builders.snapshots import NOW
from tests.screens import screen_text, texts
from tests.servers.dashboards import shown
from tests.waiting import until, until_equal

LOOKS = Looks(NOW)
PRIORITY = (ChangedField("priority", "5", "9"),)


def made(number: int, message: str = "", **values: Any) -> PastDeployment:
    told = event_of(event(1, message, actor="ada")) if message else None
    about: dict[str, Any] = {"changes": None, "since": None, "is_latest": False, **values}
    if told is not None:
        about |= {"made_by": told.actor, "made_at": told.recorded_at}
    return PastDeployment(number, told, **about)


def row(deployment: PastDeployment) -> list[str]:
    cells = history.cells(deployment, date(2026, 3, 14), LOOKS)
    return [plain_text(cell) for cell in (cells[0], *cells[2:])]


def test_a_row_says_what_is_known_and_no_more() -> None:
    fields = "Changed fields: configuration.env, configuration.priority"
    known = made(3, f"Run updated. Deployment: 3. {fields}", changes=PRIORITY, since=PRIORITY)
    assert row(known) == ["3", "ada", "priority 5 → 9, env", "priority"]
    assert history.summary(known, LOOKS) == "deployment 3  the way back changes priority 9 → 5"
    assert row(made(2)) == ["2", "–", "–", "–"]
    assert history.summary(made(2), LOOKS) == "deployment 2  its spec is not kept here"
    assert row(made(4, since=(), is_latest=True))[-1] == "latest"
    assert row(made(1, since=()))[-1] == "nothing kept"
    assert not history.findings([known], LOOKS)
    (finding,) = history.findings([made(9), known, made(2)], LOOKS)
    assert finding.text.startswith("The specs of deployments 9, 2 are not kept here")


async def test_enter_plans_the_way_back_and_says_where_there_is_none(tmp_path: Path) -> None:
    server, store = ChangingServer(), Store(tmp_path)
    run = server.runs[0]
    server.happens("Run submitted. Status: SUBMITTED", ("run", run["id"], "chat"))
    async with server.client() as client:
        run["deployment_num"] = 1  # somebody else
        before = await read_service(client, "main", "chat")
        run["run_spec"]["configuration"]["priority"] = 7
        run["deployment_num"] = 2
        store.keep_applied(before, await read_service(client, "main", "chat"))
        app = app_reading(Feed(client, "main"), client, tmp_path, interval=0.5)
        async with app.run_test(size=(120, 32)) as pilot:
            await until(lambda: app.snapshot is not None and app.snapshot.complete, what="data")
            await pilot.press("2")
            await shown(app, ServicesScreen)
            await pilot.press(*":history chat", "enter")
            await shown(app, ServiceScreen)
            await until_equal(lambda: app.screen.view, "history")
            await until_equal(lambda: app.screen.table.keys, ("2", "1", "0"))
            await until(lambda: texts(app, "0")["time"] != "–", what="the event")
            assert [texts(app, key)["since"] for key in "210"] == ["latest", "priority", "–"]
            assert texts(app, "2")["changed"] == "priority 0 → 7"
            await pilot.press("end", "enter")
            await until(lambda: "deployment 0 is not kept" in screen_text(app), what="the word")
            assert "no plan can" in screen_text(app)
            await pilot.press("up", "enter")
            await shown(app, PlanScreen)
            await until(lambda: "This goes back to deployment 1" in screen_text(app))
            await pilot.press("right", "enter")
            await until_equal(lambda: run["run_spec"]["configuration"]["priority"], 0)
            assert run["deployment_num"] == 3


async def test_the_command_says_what_is_known_of_a_deployment_that_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    server = ChangingServer()
    run = server.runs[0]
    run["deployment_num"] = 1
    server.happens("Run updated. Deployment: 1. Changed fields: fleets", ("run", run["id"], "chat"))
    async with server.client() as client:
        snapshot = await poll(Feed(client, "main"), full=True)
        at = Desk(client, snapshot, await read_service(client, "main", "chat"))
        with pytest.raises(NotKeptError, match=r"is not kept here\. Changed since: fleets\."):
            await plan_back_to(0)(at)
        with pytest.raises(NotKeptError, match=r"has no deployment 7\. It is at 1"):
            await plan_back_to(7)(at)
