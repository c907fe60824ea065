"""The client's copies of dstack's rules are of the dstack that is installed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dstack_api_client
from dstack_placement.server import shapes
from tests.builders import dstack_rules

FOLDER = Path(dstack_api_client.__file__).parent
#: They speak of a release and have no copy of a rule of it: a list of backends.
WITHOUT_RULE = {"model.jobs_only"}


def test_what_the_client_follows_is_as_it_was_read() -> None:
    assert dstack_rules.differences() == []


def test_each_module_that_names_the_release_is_listed() -> None:
    release = re.compile(re.escape(shapes.TESTED))
    speaking = {
        ".".join(path.relative_to(FOLDER).with_suffix("").parts)
        for path in FOLDER.rglob("*.py")
        if release.search(path.read_text(encoding="utf-8"))
    }
    assert speaking - WITHOUT_RULE <= dstack_rules.RULES.keys()
    for module in dstack_rules.RULES:
        assert FOLDER.joinpath(*module.split(".")).with_suffix(".py").is_file(), module


def test_a_rule_that_changed_or_went_is_told_with_the_module_to_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (name,) = dstack_rules.RULES["model.retries"]
    known = dstack_rules.kept()
    known[name] = shapes.Shape(("self", "more"), known[name].digest)
    monkeypatch.setattr(dstack_rules, "kept", lambda: known)
    gone = "dstack._internal.core.models.runs:Nothing"
    monkeypatch.setitem(dstack_rules.RULES, "model.profile", (gone,))
    assert sorted(dstack_rules.differences()) == [
        f"{name} differs: read dstack_api_client.model.retries against it",
        f"{gone} is gone: read dstack_api_client.model.profile against it",
    ]
