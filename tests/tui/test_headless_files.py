"""Configuration files that are too long, or no text."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from dstack_api_client.edits.errors import EditError
from dstack_fleets_tui.headless import plan

_LIMIT = 1 << 20


def test_a_file_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "chat.dstack.yml"
    file.write_text("#" * _LIMIT)
    assert len(plan.read_file(str(file))) == _LIMIT
    file.write_text("#" * (_LIMIT + 1))
    with pytest.raises(EditError, match="is longer than 1 MiB; nothing of it is used"):
        plan.read_file(str(file))


def test_the_standard_input_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def given(data: bytes) -> None:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))

    given("name: chät".encode())
    assert plan.read_file("-") == "name: chät"
    given(b"#" * (_LIMIT + 1))
    with pytest.raises(EditError, match="The standard input is longer than 1 MiB"):
        plan.read_file("-")
    given(b"\xff")
    with pytest.raises(EditError, match="not text in UTF-8"):
        plan.read_file("-")
