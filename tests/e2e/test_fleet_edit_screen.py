"""The editor of fleets on a real server, new fleets, and fleets and instances that go."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from textual.pilot import Pilot
from textual.widgets import Input, Static, TextArea

from dstack_api_client.connect.connection import Connection, Sources
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.errors import ReadOnlyError
from dstack_api_client.model.fleet import Fleet
from dstack_api_client.transport.client import Client
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.screens.edit.applying import ApplyScreen
from dstack_fleets_tui.screens.edit.conflict import ConflictScreen
from dstack_fleets_tui.screens.edit.fleet import FleetEditScreen
from dstack_fleets_tui.screens.edit.plan import PlanScreen
from dstack_fleets_tui.screens.edit.text import TextScreen
from dstack_fleets_tui.screens.fleet import FleetScreen
from dstack_fleets_tui.screens.fleets import FleetsScreen
from dstack_fleets_tui.screens.parts.asking import AskScreen, PickScreen
from dstack_fleets_tui.settings.settings import Settings
from dstack_simulator.handle.handle import Handle
from dstack_widgets.inputs.choices import Choices
from dstack_widgets.inputs.edit_grid import Place
from dstack_widgets.panels.flow import Flow
from tests.builders.audit_log import ends
from tests.painting import all_painted
from tests.servers.dashboards import ended, findings, shown, text
from tests.waiting import until

pytestmark = pytest.mark.e2e

SHED = """\
type: fleet
name: shed
ssh_config:
  user: ubuntu
  identity_file: {key}
  port: {ssh_port}
  hosts: ["{address}"]
"""


@pytest_asyncio.fixture(scope="module")
async def yard(edit_addon: Handle) -> AsyncIterator[Handle]:
    """The server, with two idle instances in `yard`."""

    async def idle() -> bool:
        fleet = await edit_addon.fleet("yard")
        return [each["status"] for each in fleet["instances"]] == ["idle"] * 2

    await until(idle, limit=60, what="two idle instances")
    yield edit_addon


@asynccontextmanager
async def dashboard(
    sim: Handle, store: Store, *, settings: Settings | None = None, name: str = "yard"
) -> AsyncIterator[tuple[FleetsApp, Pilot[int]]]:
    """The dashboard with the cursor on a fleet of its list."""
    connection = Connection(sim.url, sim.project, sim.token, Sources("test", "test", "test"))
    settings = settings or Settings(interval=1)
    app = FleetsApp(connection, settings, terminal_is_gone=lambda: False, store=store)
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.press("1")
        await until(lambda: app.snapshot is not None and app.snapshot.complete, limit=30)
        await shown(app, FleetsScreen)
        key = fleet(app, name).id
        await until(lambda: app.screen.table.has_row(key), what="the row")
        app.screen.table.move_cursor_to(key)
        yield app, pilot


def fleet(app: FleetsApp, name: str) -> Fleet:
    return next(each for each in app.snapshot.fleets.values() if each.name == name)


async def editor(app: FleetsApp, pilot: Pilot[int]) -> FleetEditScreen:
    await pilot.press("e")
    await until(lambda: any(map(_is_read, app.screen_stack)), what="the editor")
    return next(screen for screen in app.screen_stack if isinstance(screen, FleetEditScreen))


def _is_read(screen: object) -> bool:
    return isinstance(screen, FleetEditScreen) and screen.edit is not None


def asked(app: FleetsApp) -> str:
    return "\n".join(str(each.content) for each in app.screen.query(Static))


async def confirm(app: FleetsApp, pilot: Pilot[int]) -> None:
    await shown(app, PlanScreen)
    assert app.screen.query_one(Choices).current == "cancel"
    await pilot.press("right", "enter")
    await shown(app, ApplyScreen)


async def told(app: FleetsApp, words: str) -> None:
    await until(lambda: words in text(app), limit=30, what=f"{words!r} in {text(app)!r}")


async def nodes(sim: Handle, name: str = "yard") -> dict[str, int]:
    return (await sim.fleet(name))["spec"]["configuration"]["nodes"]


async def test_nodes_are_changed_in_place_and_taken_back(yard, tmp_path):
    before = await yard.fleet("yard")
    store = Store(tmp_path)
    async with dashboard(yard, store) as (app, pilot):
        await editor(app, pilot)
        await pilot.press("1", "enter", "right", "right", "6", "enter", "p")
        await shown(app, PlanScreen)
        assert "~ nodes  2..4 → 1..6" in text(app)
        await confirm(app, pilot)
        await told(app, "The change of yard was applied")
        await ended(app)
        assert await nodes(yard) == {"min": 1, "max": 6}
        assert (await yard.fleet("yard"))["id"] == before["id"]

        await pilot.press("escape")
        await shown(app, FleetsScreen)
        await pilot.press("enter")
        await shown(app, FleetScreen)
        await pilot.press("u")
        await shown(app, PlanScreen)
        assert "This undoes" in text(app)
        await confirm(app, pilot)
        await told(app, "The change of yard was applied")
    assert (await yard.fleet("yard"))["spec"] == before["spec"]
    assert [entry["action"] for entry in ends(store.audit_path)] == ["apply", "undo"]


async def test_the_instances_that_would_start_or_end_are_shown_before(yard, tmp_path):
    async with dashboard(yard, Store(tmp_path)) as (app, pilot):
        screen = await editor(app, pilot)
        await pilot.press("3", "enter")
        await until(lambda: "instances  2 → 3  start 1" in text(app, "#follows"), what="a start")
        await pilot.press("p")
        await shown(app, PlanScreen)
        assert "start 1" in text(app)
        assert "eu-west-2" in text(app), "offers for what starts"
        await pilot.press("escape")
        await shown(app, FleetEditScreen)
        await pilot.press("0", "enter", "right", "right", "1")
        ends = "yard-0  idle, above `max`"
        await until(lambda: ends in text(app, "#follows"), what="what would follow")
        await pilot.press("enter", "p")
        await shown(app, PlanScreen)
        assert "end 1  yard-0" in text(app)
        await pilot.press("escape")
        await shown(app, FleetEditScreen)
        await pilot.press("R")
        screen.grid.go_to(Place("regions", "regions"))
        await pilot.press("enter", "ctrl+u", *"us-east-1", "enter")
        await until(lambda: "no longer fits" in text(app, "#follows"), what="who does not fit")
        both = "instances  2 → 2  start 2, end 2"
        await until(lambda: both in text(app, "#follows"), what="starts and ends")
        await pilot.press("R", "escape")
    assert await nodes(yard) == {"min": 2, "max": 4}


async def test_what_is_wrong_is_said_at_once_and_can_not_be_planned(yard, tmp_path):
    async with dashboard(yard, Store(tmp_path)) as (app, pilot):
        screen = await editor(app, pilot)
        await pilot.press("9")
        await until(lambda: any("`max` (4)" in line for line in findings(app)), what="the line")
        await pilot.press("enter", "p")
        await all_painted(app, pilot)
        assert isinstance(app.screen, FleetEditScreen)
        assert screen.grid.place == Place("nodes", "max")
        await pilot.press("R")
        screen.grid.go_to(Place("gpu", "gpu"))
        await pilot.press("enter", "ctrl+u", *"H100:H200:1:2:3:4", "enter", "p")
        await until(lambda: findings(app) and not screen._planning, what="the server's reason")
        assert isinstance(app.screen, FleetEditScreen)
        await pilot.press("R", "escape")


async def test_a_draft_is_offered_again(yard, tmp_path):
    store = Store(tmp_path)
    async with dashboard(yard, store) as (app, pilot):
        await editor(app, pilot)
        await pilot.press("1", "enter", "escape")
        await shown(app, FleetsScreen)
        screen = await editor(app, pilot)
        await shown(app, AskScreen)
        assert "nodes" in asked(app)
        await pilot.press("enter")
        await until(lambda: screen.edit.nodes.least == 1, what="the draft")


async def test_somebody_else_s_change_is_shown_and_kept(yard, tmp_path):
    async with dashboard(yard, Store(tmp_path)) as (app, pilot):
        await editor(app, pilot)
        await pilot.press("right", "3", "enter", "p")
        await shown(app, PlanScreen)
        whole = await yard.fleet("yard")
        configuration = {**whole["spec"]["configuration"], "tags": {"team": "ml"}}
        spec = {**whole["spec"], "configuration": configuration}
        plan = {"spec": spec, "current_resource": whole}
        await yard.api("fleets/apply", {"plan": plan, "force": False})
        await pilot.press("right", "enter")
        await shown(app, ConflictScreen)
        await pilot.press("right", "enter")
        await confirm(app, pilot)
        await told(app, "The change of yard was applied")
    configuration = (await yard.fleet("yard"))["spec"]["configuration"]
    assert configuration["tags"] == {"team": "ml"}
    assert configuration["nodes"]["target"] == 3


async def test_a_fleet_is_edited_as_text(yard, tmp_path, monkeypatch):
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.delenv("EDITOR", raising=False)
    async with dashboard(yard, Store(tmp_path)) as (app, pilot):
        screen = await editor(app, pilot)
        await pilot.press("E")
        await shown(app, TextScreen)
        area = app.screen.query_one(TextArea)
        area.text = area.text.replace("gpu: H100:8", "gpu: H200:8")
        await pilot.press("ctrl+s")
        await until(lambda: screen.edit.changed, what="the edit")
        assert "H200" in str(screen.edit.configuration["resources"]["gpu"])
        await pilot.press("R", "escape")


async def test_a_fleet_of_ssh_hosts_is_edited_by_its_hosts(yard, tmp_path):
    await yard.apply({"type": "fleet", "name": "rack", "ssh_config": {"hosts": ["rack-1"]}})
    async with dashboard(yard, Store(tmp_path), name="rack") as (app, pilot):
        await pilot.press("e")
        await shown(app, FleetEditScreen)
        edit = await until(lambda: app.screen.edit, what="what the fleet has")
        (host,) = edit.hosts
        assert host.name.startswith("127."), "the simulator gives each host an address"
        await pilot.press("escape")
        await shown(app, FleetsScreen)


async def test_a_fleet_is_made_of_a_template_and_deleted_by_its_name(yard, tmp_path, monkeypatch):
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.delenv("EDITOR", raising=False)
    store = Store(tmp_path)
    async with dashboard(yard, store) as (app, pilot):
        await pilot.press("N")
        await shown(app, PickScreen)
        await pilot.press("enter")
        await shown(app, TextScreen)
        area = app.screen.query_one(TextArea)
        area.text = area.text.replace("name: my-fleet", "name: yard")
        first = app.screen
        await pilot.press("ctrl+s")
        await until(
            lambda: isinstance(app.screen, TextScreen) and app.screen is not first, what="again"
        )
        await shown(app, TextScreen)
        area = app.screen.query_one(TextArea)
        assert area.text.startswith("# ! There is a fleet yard")
        area.text = area.text.replace("name: yard", "name: brook")
        await pilot.press("ctrl+s")
        await shown(app, PlanScreen)
        await pilot.press("escape")
        await shown(app, FleetsScreen)

        await pilot.press("N")
        await shown(app, PickScreen)
        await pilot.press("enter")
        await shown(app, TextScreen)
        assert "name: brook" in app.screen.query_one(TextArea).text, "what was written is there"
        await pilot.press("ctrl+s")
        await shown(app, PlanScreen)
        assert "offers" in text(app)
        await confirm(app, pilot)
        await told(app, "brook is there")
        await ended(app)
        assert await nodes(yard, "brook") == {"min": 0, "max": 4}
        await pilot.press("escape")
        await shown(app, FleetsScreen)

        brook = await until(
            lambda: next((f for f in app.snapshot.fleets.values() if f.name == "brook"), None)
        )
        await until(lambda: app.screen.table.move_cursor_to(brook.id), what="its row")
        await pilot.press("D")
        await shown(app, AskScreen)
        choices = app.screen.query_one(Choices)
        await pilot.press(*"broo", "enter", "right")
        await all_painted(app, pilot)
        assert choices.current == "cancel", "the name is not whole"
        app.screen.query_one(Input).focus()
        await pilot.press("k", "enter", "right", "enter")
        await shown(app, ApplyScreen)
        await told(app, "Fleet brook is being deleted")
        await ended(app)
        assert "The fleet is gone." in text(app)
        assert brook.id not in {fleet["id"] for fleet in await yard.api("fleets/list")}
    assert [entry["action"] for entry in ends(store.audit_path)] == ["create", "delete"]


async def test_a_fleet_of_a_file_is_planned_at_once(yard, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "pond.dstack.yml").write_text("type: fleet\nname: pond\nnodes: 0..1\n")
    async with dashboard(yard, Store(tmp_path / "state")) as (app, pilot):
        await pilot.press("N")
        await shown(app, PickScreen)
        await pilot.press("down", "down", "enter")
        await shown(app, FleetsScreen)
        await pilot.press(*"~/pond.dstack.yml", "enter")
        await shown(app, PlanScreen)
        await until(lambda: "Plan for pond" in app.screen.query_one("#head", Flow).text)
        await pilot.press("escape")
        await shown(app, FleetsScreen)
        await pilot.press(":", *"new_fleet ~/none.yml", "enter")
        await until(lambda: any("none.yml" in str(n.message) for n in app.said.log))


async def test_keys_of_ssh_hosts_are_read_from_their_files_and_never_shown(yard, tmp_path):
    key = tmp_path / "id_ed25519"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    await asyncio.to_thread(subprocess.run, command, check=True)
    host = next(each for each in await yard.hosts() if each["name"] == "rack-2")
    path = tmp_path / "shed.dstack.yml"
    path.write_text(SHED.format(key=key, **host))
    async with dashboard(yard, Store(tmp_path / "state")) as (app, pilot):
        app.screen.action_do("new_fleet", str(path))
        await shown(app, PlanScreen)
        shown_text = text(app)
        assert host["address"] in shown_text
        secret = key.read_text().splitlines()[1]
        assert secret not in shown_text
        await confirm(app, pilot)
        await told(app, "shed is there")
        # The host does not know this key.
        await told(app, "0 of 1 instance is up, 1 starting.")
    (instance,) = (await yard.fleet("shed"))["instances"]
    assert instance["hostname"] in (None, host["address"])
    assert secret not in (tmp_path / "state" / "audit.jsonl").read_text()
    await yard.delete_fleet("shed")


async def test_idle_instances_are_deleted_by_the_fleet_s_name(yard, tmp_path):
    store = Store(tmp_path)
    (first,) = (i for i in (await yard.fleet("yard"))["instances"] if i["instance_num"] == 0)
    async with dashboard(yard, store) as (app, pilot):
        await pilot.press("enter")
        await shown(app, FleetScreen)
        await until(lambda: app.screen.table.row_count == 2, what="the instances")
        await pilot.press("space", "D")
        await shown(app, PickScreen)
        await pilot.press("enter")
        await shown(app, AskScreen)
        assert "keeps 2: the server will start others" in asked(app)
        await pilot.press(*"yard", "enter", "right", "enter")
        await shown(app, ApplyScreen)
        await told(app, "Instance 0 of yard is being deleted")

        await ended(app)
        there = {each["id"] for each in (await yard.fleet("yard"))["instances"]}
        assert first["id"] not in there
    assert '"action":"delete"' in store.audit_path.read_text()


async def test_read_only_changes_no_fleet(yard, tmp_path):
    settings = Settings(interval=1, read_only=True)
    async with dashboard(yard, Store(tmp_path), settings=settings) as (app, pilot):
        await pilot.press("e", "D", "N")
        await all_painted(app, pilot)
        assert isinstance(app.screen, FleetsScreen)
        keys = [key for key, _ in app.screen.query_one("KeysFooter")._keys]
        assert not {"e", "D", "N"} & set(keys)
    async with Client(yard.url, yard.token, read_only=True) as client:
        with pytest.raises(ReadOnlyError):
            await client.fleets.delete(yard.project, "yard")
        with pytest.raises(ReadOnlyError):
            await client.fleets.delete_instances(yard.project, "yard", [0])
    assert (await yard.fleet("yard"))["status"] == "active"
