"""What is kept on the machine: the way back, drafts and the audit log, without secrets."""

from __future__ import annotations

import json
import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import pytest

from dstack_api_client.edits.base.base import Base
from dstack_api_client.edits.base.difference import difference
from dstack_api_client.edits.errors import EndedError, NotKeptError
from dstack_api_client.edits.perform.undoing import reopened, undo
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.edits.spec.fields import ABSENT
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.edits.store.kept import Sent, kept_of, values_of
from dstack_api_client.model.configuration import MASK
from tests.builders.service_edits import SECRET, WITH_LANES, base, edit, group

_ENV = ("configuration", "env", "HF_TOKEN")


def _after(changed: ServiceEdit) -> Base:
    return replace(changed.base, spec=changed.spec, deployment=changed.base.deployment + 1)


def test_the_way_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    changed = edit().add_lane("", "gpu-new", priority=9).with_lane("", "gpu-spot", min_replicas=1)
    now = _after(changed)
    store.keep_applied(changed.base, now)
    found = undo(Store(tmp_path), now, WITH_LANES)
    assert (found.changed_since, found.left_out) == ((), ())
    assert found.edit.spec == changed.base.spec
    assert json.dumps(found.edit.spec) == json.dumps(changed.base.spec)


def test_the_way_back_leaves_alone_what_others_changed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    changed = edit().with_priority(7).with_replicas("0", 4)
    store.keep_applied(changed.base, _after(changed))
    since = ServiceEdit.begin(_after(changed), WITH_LANES)
    theirs = since.with_lane("", "gpu-spot", priority=3).with_priority(8)
    found = undo(store, replace(_after(changed), spec=theirs.spec), WITH_LANES)
    assert found.changed_since == ("priority",)
    assert found.edit.run_priority == 0
    assert found.edit.group("0").least == 2
    assert found.edit.lanes()[1].priority == 3, "nobody here had changed it"


def test_secrets_are_left_out_and_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    changed = (
        edit()
        .with_priority(7)
        .with_values(
            {
                _ENV: f"{SECRET}2",
                ("configuration", "registry_auth", "password"): f"{SECRET}3",
                ("configuration", "commands"): [f"serve --key {SECRET}"],
            }
        )
    )
    store.keep_draft(changed.base, changed.spec)
    store.keep_applied(changed.base, _after(changed))
    store.keep_draft(changed.base, changed.spec)
    told = difference(changed.base.spec, changed.spec, "service", WITH_LANES)
    store.audit(changed.base.target, told, "ok", user="a")
    logged = json.loads(store.audit_path.read_text())["changes"]
    assert {change["field"]: (change["old"], change["new"]) for change in logged} == {
        "priority": ("0", "7"),
        "commands": (MASK, MASK),
        "env HF_TOKEN": (MASK, MASK),
        "registry_auth password": (MASK, MASK),
    }
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) >= 3
    for file in files:
        assert SECRET not in file.read_text()
        assert file.stat().st_mode & 0o777 == 0o600, file
    assert (tmp_path / "edits").stat().st_mode & 0o777 == 0o700
    found = undo(store, _after(changed), WITH_LANES)
    assert found.left_out == ("commands", "env HF_TOKEN", "registry_auth password")
    assert found.edit.run_priority == 0
    assert found.edit.configuration["env"]["HF_TOKEN"] == f"{SECRET}2", "it stays as it is"


def test_nothing_to_undo(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(NotKeptError, match="could be undone is known here"):
        undo(store, base(), WITH_LANES)
    changed = edit().with_priority(7)
    store.keep_applied(changed.base, _after(changed))
    with pytest.raises(EndedError):
        undo(store, replace(base(), id="another"), WITH_LANES)


def test_a_draft_survives_and_tells_that_its_base_has_moved(tmp_path: Path) -> None:
    store = Store(tmp_path)
    begun = edit(groups=[group("front"), group("decode")], replicas=None)
    drafted = begun.with_own_lanes("decode", own=True).with_lane("decode", "gpu-spot", priority=9)
    store.keep_draft(drafted.base, drafted.spec)
    same = reopened(Store(tmp_path), begun.base, WITH_LANES)
    assert same is not None
    assert (same.base_moved, same.edit.spec) == (False, drafted.spec)
    moved = replace(begun.base, spec=begun.with_priority(5).spec, deployment=4)
    later = reopened(store, moved, WITH_LANES)
    assert later is not None
    assert later.base_moved
    assert later.edit.run_priority == 5
    assert later.edit.lanes("decode")[1].priority == 9
    store.drop_draft(begun.base.target)
    assert reopened(store, begun.base, WITH_LANES) is None


def test_each_dashboard_keeps_a_draft_of_its_own(tmp_path: Path) -> None:
    """Whoever writes last or applies first, what another has begun is there."""
    one, two = Store(tmp_path), Store(tmp_path)
    mine, theirs, target = edit().with_priority(7), edit().with_replicas("0", 4), base().target
    one.keep_draft(mine.base, edit().with_priority(6).spec)
    two.keep_draft(theirs.base, theirs.spec)
    kept = one.keep_draft(mine.base, mine.spec)
    two.keep_draft(theirs.base, theirs.spec)
    assert one.draft(target) == kept
    two.keep_applied(theirs.base, _after(theirs))
    assert [store.draft(target) for store in (one, two, Store(tmp_path))] == [kept] * 3
    one.drop_draft(target)
    assert Store(tmp_path).draft(target) is None


def test_a_draft_that_was_put_off_is_there_after_the_next(tmp_path: Path) -> None:
    earlier, later = edit().with_priority(7), edit().with_replicas("0", 4)
    left = Store(tmp_path).keep_draft(earlier.base, earlier.spec)
    store = Store(tmp_path)
    kept = store.keep_draft(later.base, later.spec)
    assert Store(tmp_path).draft(base().target) == kept
    store.drop_draft(base().target)
    assert store.draft(base().target) == left
    store.take_draft(base().target, left)
    kept = store.keep_draft(earlier.base, earlier.with_priority(8).spec)
    store.drop_draft(base().target, kept)
    assert store.draft(base().target) is None, "it was gone on with"


def test_drafts_do_not_add_up_for_ever(tmp_path: Path) -> None:
    for number in range(20):
        Store(tmp_path).keep_draft(base(), edit().with_priority(number + 1).spec)
    (file,) = (tmp_path / "edits").glob("*.json")
    assert len(json.loads(file.read_text())["earlier"]) == 7


def test_what_another_dashboard_sends_stays_open(tmp_path: Path) -> None:
    """Until that knows what became of it, whatever is applied meanwhile."""
    store, changed = Store(tmp_path), edit().with_priority(7)
    kept = kept_of(changed.base, _after(changed))
    mine, theirs = (Sent(name, kept.at, 0, "a", "apply", kept) for name in ("mine", "theirs"))
    store.keep_sent(base().target, mine)
    store.keep_sent(base().target, theirs)
    store.keep_applied(changed.base, _after(changed), mine)
    assert store.sent(base().target) == theirs
    store.keep_applied(changed.base, _after(changed), theirs)
    assert store.sent(base().target) is None


def test_two_that_send_to_one_target_lose_nothing_of_each_other(tmp_path: Path) -> None:
    """Though one of them is killed and the other one's is refused: what it sent is looked up."""
    first, second, target = edit().with_priority(7), edit().with_replicas("0", 4), base().target
    killed, waits = (
        Sent(name, kept_of(each.base, _after(each)).at, by, "a", "apply",
             kept_of(each.base, _after(each)))
        for name, each, by in (("killed", first, 0), ("waits", second, os.getpid()))
    )  # fmt: skip
    store = Store(tmp_path)
    store.keep_sent(target, killed)
    Store(tmp_path).keep_sent(target, waits)
    assert store.open_changes(target.server, target.project) == [(target, killed)]
    assert store.sent(target, kept_of(first.base, _after(first))) == killed
    Store(tmp_path).end_sent(target, waits, applied=False)
    assert store.open_changes(target.server, target.project) == [(target, killed)]
    assert store.applied(target) == killed.kept, "it may have been applied"
    store.end_sent(target, killed, applied=True)
    assert store.open_changes(target.server, target.project) == []
    assert store.applied(target) == killed.kept


def test_the_way_back_is_from_the_later_of_two_changes(tmp_path: Path) -> None:
    """Whichever of two dashboards is the first to know that its own was applied."""
    store = Store(tmp_path)
    first = edit().with_priority(7)
    second = ServiceEdit.begin(_after(first), WITH_LANES).with_replicas("0", 4)
    kept = store.keep_applied(second.base, _after(second))
    store.keep_applied(first.base, _after(first))
    assert store.applied(first.base.target) == kept


def test_applying_drops_the_draft(tmp_path: Path) -> None:
    store = Store(tmp_path)
    changed = edit().with_priority(7)
    store.keep_draft(changed.base, changed.spec)
    store.keep_applied(changed.base, _after(changed))
    assert store.draft(changed.base.target) is None
    kept = store.applied(changed.base.target)
    assert kept is not None
    assert values_of(kept, back=True) == {("configuration", "priority"): 0}


def test_what_may_have_been_applied_is_what_undo_takes_back(tmp_path: Path) -> None:
    """Not an older change; and its draft stays, since it may not have been applied."""
    store = Store(tmp_path)
    first = edit().with_priority(7)
    store.keep_applied(first.base, _after(first))
    second = ServiceEdit.begin(_after(first), WITH_LANES).with_replicas("0", 4)
    store.keep_draft(second.base, second.spec)
    kept = kept_of(second.base, _after(second))
    store.keep_sent(second.base.target, Sent("1", kept.at, 0, "a", "apply", kept))
    assert store.draft(second.base.target) is not None
    applied = undo(store, _after(second), WITH_LANES).edit
    assert applied.changes.keys() == {("configuration", "replicas")}
    assert not undo(store, second.base, WITH_LANES).edit.changed, "it was not applied"


def test_a_field_that_was_not_there(tmp_path: Path) -> None:
    store = Store(tmp_path)
    changed = edit().with_lane("", "gpu-spot", priority=5)
    kept = store.keep_applied(changed.base, _after(changed))
    path = ("configuration", "fleets", "gpu-spot", "priority")
    assert values_of(kept, back=True) == {path: ABSENT}
    read = store.applied(changed.base.target)
    assert read is not None
    assert values_of(read, back=True) == {path: ABSENT}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"server": "other"}', b"\xff"])
def test_a_damaged_file_is_written_anew(tmp_path: Path, content: bytes) -> None:
    store = Store(tmp_path)
    changed = edit().with_priority(7)
    store.keep_draft(changed.base, changed.spec)
    (file,) = (tmp_path / "edits").glob("*.json")
    file.write_bytes(content)
    assert store.draft(changed.base.target) is None
    store.keep_draft(changed.base, changed.spec)
    assert store.draft(changed.base.target) is not None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_nobody_may_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(NotKeptError, match="can't be written"):
        Store(tmp_path / "state").keep_draft(base(), edit().with_priority(1).spec)


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(NotKeptError, match="can't be written"):
        Store(tmp_path / "state").keep_draft(base(), edit().with_priority(1).spec)


def _write_often(folder: str, name: str) -> None:
    store = Store(Path(folder))
    target = replace(base().target, name=name)
    for number in range(20):
        changed = edit().with_priority(number + 1)
        store.keep_draft(replace(changed.base, target=target), changed.spec)
        told = difference(changed.base.spec, changed.spec, "service", WITH_LANES)
        store.audit(target, told, "applied", user=name)


def test_several_dashboards_at_once(tmp_path: Path) -> None:
    """Each line of the log is whole, and each file is."""
    context = multiprocessing.get_context("spawn")
    names = ["chat", "chat", "embed"]
    processes = [context.Process(target=_write_often, args=(str(tmp_path), name)) for name in names]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    lines = [json.loads(line) for line in Store(tmp_path).audit_path.read_text().splitlines()]
    assert len(lines) == 60
    assert {line["name"] for line in lines} == {"chat", "embed"}
    for name in ("chat", "embed"):
        kept = Store(tmp_path).draft(replace(base().target, name=name))
        assert kept is not None
        assert kept.steps[0].new == 20
