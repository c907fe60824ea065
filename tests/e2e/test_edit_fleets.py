"""Fleets edited, made and deleted on a real server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from dstack_api_client import errors
from dstack_api_client.edits.base.base import read_fleet
from dstack_api_client.edits.base.difference import NotInPlaceError
from dstack_api_client.edits.base.merging import ConflictError
from dstack_api_client.edits.errors import EndedError, InvalidEditError
from dstack_api_client.edits.fleet import fleets
from dstack_api_client.edits.fleet.fleet import FleetEdit
from dstack_api_client.edits.fleet.fleet_effects import idle_instances
from dstack_api_client.edits.fleet.new_fleets import TEMPLATES, plan_new_fleet
from dstack_api_client.edits.perform import undoing
from dstack_api_client.edits.perform.performing import perform
from dstack_api_client.edits.spec import fields
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.model.short_forms import Nodes
from dstack_api_client.transport.client import Client
from dstack_simulator.handle.handle import Handle
from tests.builders.audit_log import ends
from tests.servers.edited_services import Losing, client_of, look
from tests.waiting import until

pytestmark = pytest.mark.e2e

SERVICES = {"stock": ["trapped"]}

NEW = """\
type: fleet
name: {name}
nodes: 0..2
backends: [aws]
regions: [us-west-2]
spot_policy: spot
resources: {{gpu: "H100:8"}}
"""


async def _begin(client: Client, sim: Handle, name: str) -> FleetEdit:
    return FleetEdit.begin(await read_fleet(client, sim.project, name))


async def test_nodes_there_and_back(edit_stock: Handle, tmp_path: Path) -> None:
    store = Store(tmp_path)
    async with client_of(edit_stock) as client:
        edit = await _begin(client, edit_stock, "gpu-spot")
        assert edit.nodes == Nodes(0, 0, 8)
        changed = edit.with_nodes(Nodes(0, 3, 9)).with_field("max_price", 40.0)
        plan = await fleets.plan_fleet(client, changed, snapshot=await look(client, edit_stock))
        assert {change.name: (change.old, change.new) for change in plan.changes} == {
            "nodes": ("0..8", "min 0, target 3, max 9"),
            "max_price": ("–", "40"),
        }
        assert plan.offers
        assert [warning.key for warning in plan.warnings] == ["target"]
        done = await perform(client, plan, store, user="admin")
        assert done.now.spec == plan.spec
        back = undoing.undo_fleet(store, done.now)
        way = await fleets.plan_fleet(client, back.edit)
        done = await perform(client, way, store, action="undo")
        assert json.dumps(done.now.spec) == json.dumps(edit.base.spec)
        nothing = await fleets.plan_fleet(client, await _begin(client, edit_stock, "gpu-spot"))
        assert (nothing.applicable, nothing.changes) == (False, ())


async def test_an_answer_that_gets_lost(edit_stock: Handle) -> None:
    transport = Losing("fleets/apply")
    async with client_of(edit_stock, transport=transport) as client:
        edit = await _begin(client, edit_stock, "gpu-reserved")
        plan = await fleets.plan_fleet(client, edit.with_field("tags", {"team": "a"}))
        done = await fleets.apply_fleet(client, plan)
        assert (transport.sent, done.answered) == (1, False)
        assert done.now.configuration["tags"] == {"team": "a"}


async def test_refusals(edit_stock: Handle) -> None:
    async with client_of(edit_stock) as client:
        edit = await _begin(client, edit_stock, "gpu-spot")
        with pytest.raises(InvalidEditError, match=r"`max` \(1\) is below 2"):
            await fleets.plan_fleet(client, edit.with_nodes(Nodes(2, 2, 1)))
        with pytest.raises(NotInPlaceError, match="`blocks` of a fleet can't be changed"):
            edit.with_field("blocks", 2)
        changed = edit.with_values({("configuration", "idle_duration"): 60})
        with pytest.raises(NotInPlaceError, match="idle_duration can't be changed"):
            await fleets.plan_fleet(client, changed)
        with pytest.raises(InvalidEditError):
            await fleets.plan_fleet(client, edit.with_field("spot_policy", "sometimes"))
        text = fleets.as_text(edit)
        assert await fleets.with_text(client, edit, text) is edit
        other = await fleets.with_text(client, edit, text.replace("nodes: 0..8", "nodes: 0..7"))
        assert other.nodes == Nodes(0, 0, 7)
        assert {path[-1] for path in _changes(other)} == {"nodes"}
        with pytest.raises(InvalidEditError, match="Leave `type` and `name` alone"):
            await fleets.with_text(client, edit, text.replace("name: gpu-spot", "name: other"))


def _changes(edit: FleetEdit) -> set[tuple[str, ...]]:
    return set(fields.changes(edit.base.spec, edit.spec))


async def test_a_fleet_made_changed_by_others_and_deleted(
    edit_stock: Handle, tmp_path: Path
) -> None:
    sim, store = edit_stock, Store(tmp_path)
    async with client_of(sim) as client:
        plan = await plan_new_fleet(client, sim.project, NEW.format(name="fresh"), {})
        assert (plan.action, plan.applicable) == ("create", True)
        assert {(offer.region, offer.spot) for offer in plan.offers} == {("us-west-2", True)}
        made = await perform(client, plan, store, action="create")
        assert made.now.target.name == "fresh"
        with pytest.raises(NotInPlaceError, match="There is a fleet fresh"):
            await plan_new_fleet(client, sim.project, NEW.format(name="fresh"), {})
        with pytest.raises(NotInPlaceError, match="There is a fleet fresh now"):
            await perform(client, plan, store, action="create")

        edit = await _begin(client, sim, "fresh")
        mine = await fleets.plan_fleet(client, edit.with_nodes(Nodes(0, 0, 5)))
        theirs = await fleets.plan_fleet(client, edit.with_nodes(Nodes(0, 0, 6)))
        await fleets.apply_fleet(client, theirs)
        with pytest.raises(ConflictError) as clash:
            await fleets.apply_fleet(client, mine)
        assert [row.path[-1] for row in clash.value.three_way.conflicts] == ["nodes"]

        gone = await read_fleet(client, sim.project, "fresh")
        await fleets.delete_fleet(client, gone)

        async def deleted() -> bool:
            try:
                await read_fleet(client, sim.project, "fresh")
            except errors.NotFoundError:
                return True
            return False

        await until(deleted, limit=60, every=0.3, what="the fleet is gone")
        with pytest.raises(errors.NotFoundError):
            await fleets.apply_fleet(client, mine)
        assert "fresh" not in {f["name"] for f in await sim.api("fleets/list")}, "made again"
        await sim.apply(NEW.format(name="fresh"))
        with pytest.raises(EndedError, match="not the one that the edit began with"):
            await fleets.delete_fleet(client, gone)
    entries = ends(store.audit_path)
    assert [entry["result"].partition(":")[0] for entry in entries] == ["applied", "not applied"]


async def test_what_is_in_use_is_not_deleted(edit_stock: Handle) -> None:
    async with client_of(edit_stock) as client:

        async def busy() -> bool:
            fleet = (await look(client, edit_stock)).fleet_named("tight-full")
            return fleet is not None and fleet.states.get("busy") == 1

        await until(busy, limit=60, every=0.5, what="the fleet is in use")
        base = await read_fleet(client, edit_stock.project, "tight-full")
        snapshot = await look(client, edit_stock)
        assert idle_instances(snapshot, base.id) == ()
        with pytest.raises(errors.RefusedError, match="in use"):
            await fleets.delete_fleet(client, base)
        with pytest.raises(errors.RefusedError, match="in use"):
            await fleets.delete_instances(client, base, [0])


async def test_templates_are_what_the_server_takes(edit_stock: Handle, tmp_path: Path) -> None:
    async with client_of(edit_stock) as client:
        plan = await plan_new_fleet(client, edit_stock.project, TEMPLATES["cloud"], {})
        assert plan.applicable
        key = tmp_path / "id_ed25519"
        text = TEMPLATES["ssh"].replace("~/.ssh/id_ed25519", str(key))
        with pytest.raises(InvalidEditError, match="can't be read: No such file"):
            await plan_new_fleet(client, edit_stock.project, text, {})
        _make_key(key)
        plan = await plan_new_fleet(client, edit_stock.project, text, {})
        assert plan.applicable
        assert plan.expected["configuration"]["ssh_config"]["ssh_key"] is None, "it is not told"


def _make_key(path: Path) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True, timeout=30
    )
    path.with_name(f"{path.name}.pub").unlink()
