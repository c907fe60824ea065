"""Edits applied to a real server: conflicts, ends, lost answers, restarts, and the way back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dstack_api_client import errors
from dstack_api_client.edits.base import difference, merging
from dstack_api_client.edits.base.merging import ConflictError
from dstack_api_client.edits.errors import EndedError, InvalidEditError, NotAppliedError
from dstack_api_client.edits.perform import undoing
from dstack_api_client.edits.perform.performing import perform, who
from dstack_api_client.edits.plan import applying, planning
from dstack_api_client.edits.service import texts
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.errors import ReadOnlyError
from dstack_simulator.handle.handle import Handle
from tests.builders.audit_log import ends
from tests.servers.edited_services import SECRET, Losing, begin, client_of, held_back, stored
from tests.servers.stopping import stopped
from tests.waiting import until

pytestmark = pytest.mark.e2e

SERVICES = {"addon": ["dice", "brief"]}


async def test_another_client_between_plan_and_apply(edit_addon: Handle) -> None:
    async with client_of(edit_addon) as client:
        edit, snapshot = await begin(client, edit_addon, "dice")
        before = edit.lanes()[0]
        edit = edit.with_lane("", "dice-spot", min_replicas=before.min_replicas + 1)
        edit = edit.with_replicas("0", 2).with_priority(11)
        plan = await planning.make_plan(client, edit, snapshot=snapshot)
        theirs = await edit_addon.touch_run("dice", priority=77)

        with pytest.raises(ConflictError) as caught:
            await applying.apply(client, plan)
        now = await stored(client, edit_addon, "dice")
        assert (now.deployment, now.spec) == (theirs["deployment_num"], theirs["run_spec"])

        found = caught.value.three_way
        (clash,) = found.conflicts
        assert clash.path == ("configuration", "priority")
        assert (clash.theirs, clash.mine) == (77, 11)
        assert {row.path for row in found.rows if row.changed_here} == set(edit.changes)
        mine = ServiceEdit(found.theirs, edit.capabilities, found.merged(keep="theirs"))
        again = await planning.make_plan(client, mine, snapshot=snapshot)
        assert {change.name for change in again.changes} == {
            "replicas",
            "fleets dice-spot min_replicas",
        }
        done = await applying.apply(client, again)
        assert done.now.configuration["priority"] == 77
        assert merging.three_way(plan.base, done.now, edit.spec).conflicts


async def test_the_same_base_in_the_same_moment(edit_addon: Handle) -> None:
    """The server refuses the second; this client tells it as a conflict."""
    async with client_of(edit_addon) as client:
        edit, snapshot = await begin(client, edit_addon, "dice")
        plan = await planning.make_plan(client, edit.with_priority(21), snapshot=snapshot)
        await edit_addon.touch_run("dice", priority=22)
        with pytest.raises(errors.RefusedError) as refused:
            await client.runs.apply(edit_addon.project, plan.spec, plan.base.current)
        assert applying.CHANGED in str(refused.value).lower()


async def test_a_run_that_ends_between_plan_and_apply(edit_addon: Handle) -> None:
    async def runs() -> bool:
        return bool((await edit_addon.run("brief"))["status"] == "running")

    # A stop that comes while the server works out another status may get lost.
    await until(runs, limit=120, every=0.3, what="the run runs")
    async with client_of(edit_addon) as client:
        edit, snapshot = await begin(client, edit_addon, "brief")
        plan = await planning.make_plan(client, edit.with_priority(9), snapshot=snapshot)
        await edit_addon.stop_run("brief")
        with pytest.raises(EndedError) as ending:
            await applying.apply(client, plan)
        assert "nothing is changed" in str(ending.value)
        await stopped(edit_addon, "brief")
        with pytest.raises(EndedError):
            await applying.apply(client, plan)
        with pytest.raises(EndedError):
            await planning.make_plan(client, edit.with_priority(9), snapshot=snapshot)
        found = await edit_addon.api(
            "/api/runs/list", {"project_name": edit_addon.project, "limit": 100}
        )
        assert [run["id"] for run in found if run["run_spec"]["run_name"] == "brief"] == [
            plan.base.id
        ], "the run was started again"


async def test_an_answer_that_gets_lost(edit_addon: Handle) -> None:
    transport = Losing("runs/apply")
    async with client_of(edit_addon, transport=transport) as client:
        edit, snapshot = await begin(client, edit_addon, "dice")
        plan = await planning.make_plan(client, edit.with_priority(31), snapshot=snapshot)
        done = await applying.apply(client, plan)
        assert transport.sent == 1
        assert not done.answered
        assert "answer got lost" in done.line
        assert done.now.deployment == plan.base.deployment + 1
        assert (await stored(client, edit_addon, "dice")).spec == plan.spec


async def test_a_request_that_never_arrives(edit_addon: Handle) -> None:
    transport = Losing("runs/apply", deliver=False)
    async with client_of(edit_addon, transport=transport) as client:
        edit, snapshot = await begin(client, edit_addon, "dice")
        plan = await planning.make_plan(client, edit.with_priority(41), snapshot=snapshot)
        with pytest.raises(NotAppliedError):
            await applying.apply(client, plan, late=0.5)
        assert transport.sent == 1
        assert (await stored(client, edit_addon, "dice")).spec == plan.base.spec


async def test_a_request_that_arrives_late(edit_addon: Handle) -> None:
    transport = Losing("runs/apply", deliver=3)
    async with client_of(edit_addon, transport=transport) as client:
        edit, snapshot = await begin(client, edit_addon, "dice")
        plan = await planning.make_plan(client, edit.with_priority(51), snapshot=snapshot)
        done = await applying.apply(client, plan)
        assert (transport.sent, done.answered) == (1, False)
        assert done.now.configuration["priority"] == 51


async def test_a_line_that_is_cut_after_the_request_was_sent(edit_addon: Handle) -> None:
    """The server has done it, and its answer is held back when the line goes."""
    async with client_of(edit_addon) as client:
        edit, snapshot = await begin(client, edit_addon, "dice")
        plan = await planning.make_plan(client, edit.with_priority(61), snapshot=snapshot)
        task = await held_back(edit_addon, client, plan)
        await edit_addon.faults.server_cut()
        await edit_addon.faults.server_slow(0)
        assert not task.done()
        await edit_addon.faults.server_cut(on=False)
        done = await task
        assert done.now.deployment == plan.base.deployment + 1
        assert done.now.spec == plan.spec
        assert not done.answered


async def test_read_only(edit_addon: Handle) -> None:
    async with client_of(edit_addon, read_only=True) as client:
        edit, snapshot = await begin(client, edit_addon, "dice")
        plan = await planning.make_plan(client, edit.with_priority(71), snapshot=snapshot)
        with pytest.raises(ReadOnlyError):
            await applying.apply(client, plan)
        with pytest.raises(ReadOnlyError):
            await client.fleets.delete(edit_addon.project, "dice-spot")
        assert (await stored(client, edit_addon, "dice")).spec == plan.base.spec


async def test_there_and_back(edit_addon: Handle, tmp_path: Path) -> None:
    store = Store(tmp_path)
    async with client_of(edit_addon) as client:
        edit, snapshot = await begin(client, edit_addon, "dice")
        begun = edit.base
        edit = edit.add_lane("", "dice-reserved", priority=7, max_replicas=2)
        edit = edit.with_lane("", "dice-spot", priority=3).move_lane("", "dice-reserved", 1)
        edit = edit.with_replicas("0", 3).with_priority(81)
        plan = await planning.make_plan(client, edit, snapshot=snapshot)
        user = await who(client)
        done = await perform(client, plan, store, user=user)
        assert done.notices == ()
        assert done.now.spec == plan.spec

        back = undoing.undo(store, done.now, snapshot.capabilities)
        assert (back.changed_since, back.left_out) == ((), ())
        way = await planning.make_plan(client, back.edit, snapshot=snapshot)
        done = await perform(client, way, store, user=user, action="undo")
        assert json.dumps(done.now.spec) == json.dumps(begun.spec), "not the same bytes"
        first, second = ends(store.audit_path)
        assert (first["user"], first["action"], second["action"]) == ("admin", "apply", "undo")
        assert {"field": "replicas", "old": "3", "new": first["changes"][0]["old"]} in second[
            "changes"
        ]
        _refuse_secrets(tmp_path)


async def test_a_secret_is_changed_as_text_and_kept_nowhere(
    edit_addon: Handle, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    async with client_of(edit_addon) as client:
        edit, snapshot = await begin(client, edit_addon, "dice")
        text = texts.as_text(edit)
        assert SECRET not in text
        assert await texts.with_text(client, edit, text) is edit
        same = await texts.with_text(client, edit, f"# a remark\n{text}")
        assert not same.changed
        other = text.replace("HF_TOKEN: '********'", f"HF_TOKEN: '********'\n  NEW: {SECRET}2")
        changed = await texts.with_text(client, edit, other)
        assert changed.configuration["env"] == {"HF_TOKEN": SECRET, "NEW": f"{SECRET}2"}
        (change,) = (await planning.make_plan(client, changed, snapshot=snapshot)).changes
        assert (change.old, change.new, change.secret) == ("–", "********", True)
        assert change.kind is difference.ChangeKind.ROLLING
        store.keep_draft(changed.base, changed.spec)
        draft = undoing.reopened(store, edit.base, snapshot.capabilities)
        assert draft is not None
        assert draft.left_out == ("env NEW",)
        _refuse_secrets(tmp_path)
        with pytest.raises(InvalidEditError) as wrong:
            await texts.with_text(client, edit, text.replace("port: 8000", "port: none"))
        assert "port" in wrong.value.lines[0]


def _refuse_secrets(folder: Path) -> None:
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert files
    assert not [file for file in files if SECRET in file.read_text()]
