"""Files on this machine: a lock that is held, and writes that end half-way."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_api_client.edits.errors import NotKeptError
from dstack_api_client.edits.store import files
from dstack_api_client.edits.store.files import append_line
from dstack_api_client.edits.store.keeping import Store
from tests.builders.service_edits import base, edit
from tests.builders.small_disk import fill, small_disk, write_protect


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store on whose files another program has locks, and keeps them."""
    monkeypatch.setattr(files, "LOCK_LIMIT", 0.02)
    store = Store(tmp_path)
    changed = edit().with_priority(7)
    store.keep_draft(changed.base, changed.spec)
    store.audit(changed.base.target, (), "applied", user="a")
    handles = [os.open(path, os.O_RDWR) for path in (tmp_path / "edits").glob("*.lock")]
    for handle in handles:
        fcntl.flock(handle, fcntl.LOCK_EX)
    yield store
    for handle in handles:
        os.close(handle)


def test_a_lock_that_is_held_is_said_and_not_waited_for(held: Store) -> None:
    changed = edit().with_priority(8)
    with pytest.raises(NotKeptError, match="Another program holds the lock"):
        held.keep_draft(changed.base, changed.spec)
    with pytest.raises(NotKeptError, match="Another program holds the lock"):
        held.audit(changed.base.target, (), "applied", user="a")
    kept = held.draft(base().target)
    assert kept is not None
    assert kept.steps[0].new == 7, "what can be read is read"


def test_a_short_write_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write = tmp_path / "log", os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, bytes(data)[:3]))
    append_line(path, b'{"a": 1}')
    append_line(path, b'{"b": 2}')
    assert path.read_bytes() == b'{"a": 1}\n{"b": 2}\n'


def test_a_write_that_fails_half_way_leaves_no_half_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, write = tmp_path / "log", os.write
    append_line(path, b'{"a": 1}')
    calls: list[int] = []

    def full(handle: int, data: bytes) -> int:
        calls.append(handle)
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return write(handle, bytes(data)[:3])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        append_line(path, b'{"b": 2}')
    monkeypatch.undo()
    assert path.read_bytes() == b'{"a": 1}\n'


def test_a_half_line_of_another_program_swallows_no_other(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.audit_path.write_bytes(b'{"at": "2026')
    store.audit(base().target, (), "applied", user="a")
    half, line = store.audit_path.read_text().splitlines()
    assert half == '{"at": "2026'
    assert json.loads(line)["result"] == "applied"


def _audit_often(store: Store) -> None:
    for _ in range(5000):  # what is left of a page takes some lines
        store.audit(base().target, (), "later", user="a")


def test_a_disk_that_is_full_takes_nothing_away(tmp_path: Path) -> None:
    """What was kept stays whole, and all is written again once there is room."""
    with small_disk(tmp_path) as ballast:
        store, changed = Store(tmp_path), edit().with_priority(7)
        first = store.keep_draft(changed.base, changed.spec)
        store.audit(changed.base.target, (), "first", user="a")
        before = set(tmp_path.rglob("*"))
        fill(ballast)
        full = os.strerror(errno.ENOSPC)
        with pytest.raises(NotKeptError, match=full):
            store.keep_draft(changed.base, edit().with_priority(8).spec)
        with pytest.raises(NotKeptError, match=full):
            store.keep_applied(changed.base, changed.base)
        with pytest.raises(NotKeptError, match=full):
            store.keep_text("chat", "text")
        with pytest.raises(NotKeptError, match=full):
            _audit_often(store)
        assert Store(tmp_path).draft(changed.base.target) == first
        ballast.unlink()
        more = set(tmp_path.rglob("*")) - before
        assert {path.suffix for path in more} <= {".lock"}, "nothing is left over"
        store.audit(changed.base.target, (), "last", user="a")
        lines = [json.loads(line) for line in store.audit_path.read_text().splitlines()]
        assert [lines[0]["result"], lines[-1]["result"]] == ["first", "last"]
        kept = store.keep_draft(changed.base, edit().with_priority(8).spec)
        assert Store(tmp_path).draft(changed.base.target) == kept


def test_a_folder_that_can_only_be_read_is_said_and_read(tmp_path: Path) -> None:
    """For root too, unlike one without the right to write."""
    with small_disk(tmp_path):
        store, changed = Store(tmp_path), edit().with_priority(7)
        first = store.keep_draft(changed.base, changed.spec)
        write_protect(tmp_path)
        refused = os.strerror(errno.EROFS)
        with pytest.raises(NotKeptError, match=refused):
            store.keep_draft(changed.base, edit().with_priority(8).spec)
        with pytest.raises(NotKeptError, match=refused):
            store.audit(changed.base.target, (), "applied", user="a")
        assert Store(tmp_path).draft(changed.base.target) == first
        assert store.open_changes("http://server", "main") == []
        write_protect(tmp_path, on=False)
        store.drop_draft(changed.base.target)
        assert store.draft(changed.base.target) is None
