"""The add-on starts only on the dstack that it is made for."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import replace
from importlib import metadata

import pytest

from dstack_placement.server import shapes
from dstack_placement.server.compat import relied
from dstack_placement.server.compat.overrides import OVERRIDES, used
from dstack_placement.server.errors import AddonError

NAMES = used()
ONE = "dstack._internal.server.services.runs.replicas:build_replica_lists"


def test_the_installed_dstack_fits() -> None:
    shapes.check(NAMES)


def test_every_override_is_known_and_says_why() -> None:
    assert sorted(shapes.known_shapes()) == sorted(NAMES)
    assert {override.function for override in OVERRIDES} < set(NAMES)
    assert all(override.why.endswith(".") and override.at for override in OVERRIDES)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"digest": "0" * 16}, f"the source of {ONE} differs"),
        (
            {"parameters": ("run_model",)},
            f"{ONE} takes (run_model, group_filter), not (run_model)",
        ),
    ],
)
def test_what_differs_is_named(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, object], line: str
) -> None:
    known = shapes.known_shapes()
    known[ONE] = replace(known[ONE], **change)
    monkeypatch.setattr(shapes, "known_shapes", lambda: known)
    with pytest.raises(AddonError) as refused:
        shapes.check(NAMES)
    assert line in str(refused.value)
    assert "Install a release of dstack that the add-on supports" in str(refused.value)


@pytest.mark.parametrize("name", relied.NAMES)
def test_what_is_used_without_an_override_is_checked_too(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    known = shapes.known_shapes()
    known[name] = replace(known[name], digest="0" * 16)
    monkeypatch.setattr(shapes, "known_shapes", lambda: known)
    with pytest.raises(AddonError, match=f"the source of {name} differs"):
        shapes.check(NAMES)


@pytest.mark.parametrize(
    "gone",
    [
        "dstack._internal.server.services.runs.replicas:no_such_function",
        "dstack._internal.core.models.profiles:ProfileParams.no_such_field",
        "dstack._internal.core.models.profiles:NoSuchModel.fleets",
        "dstack._internal.server.services.no_such_module:function",
    ],
)
def test_what_is_gone_is_named(monkeypatch: pytest.MonkeyPatch, gone: str) -> None:
    known = {**shapes.known_shapes(), gone: shapes.Shape((), "")}
    monkeypatch.setattr(shapes, "known_shapes", lambda: known)
    with pytest.raises(AddonError, match=f"{gone} is missing"):
        shapes.check([*NAMES, gone])


_MODULE = """
class Made(Base):
    "What it is."

    one: int
    two: int = 2

    def method(self) -> None:
        return None

    @overload
    def told(self, one: int) -> int: ...

    def told(self, one: int) -> int:
        return one

class Member(Enum):
    FIRST = "first"

ALIAS = list[Made]
"""


@pytest.mark.parametrize(
    ("name", "was", "now", "differs"),
    [
        ("Made", "What it is.", "Said in another way.", False),
        ("Made", "return None", "return", False),
        ("Made", "two: int = 2", "two: int = 3", True),
        ("Made", "Made(Base)", "Made(Other)", True),
        ("Made", "two: int = 2", "", True),
        ("Made.one", "two: int = 2", "two: int = 3", False),
        ("Made.one", "one: int", "one: str", True),
        ("ALIAS", "list[Made]", "set[Made]", True),
        ("Member", '"first"', '"1st"', True),
        ("Made.told", "return one", "return 1", True),
    ],
)
def test_what_counts_of_a_class_a_field_and_an_alias(
    monkeypatch: pytest.MonkeyPatch, name: str, was: str, now: str, differs: bool
) -> None:
    def shape(text: str) -> shapes.Shape:
        tree, lines = ast.parse(text), text.splitlines()
        monkeypatch.setattr(shapes, "_read", lambda _: (tree, lines))
        found = shapes.shape_of(f"dstack.made:{name}")
        assert found is not None
        return found

    assert was in _MODULE
    before, after = shape(_MODULE), shape(_MODULE.replace(was, now))
    assert (before != after) == differs
    parameters = {"Made": ("one", "two"), "Member": ("FIRST",), "Made.told": ("self", "one")}
    assert before.parameters == parameters.get(name, ())


@pytest.mark.parametrize("version", ["0.22.4", "0.23.0", "1.0"])
def test_another_release_is_refused(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(metadata, "version", lambda _: version)
    with pytest.raises(AddonError, match=f"dstack is {version}, not 0.22.5 or a later 0.22"):
        shapes.check(NAMES)


@pytest.mark.parametrize("version", ["0.22.5", "0.22.11", "0.22.5rc1"])
def test_a_later_release_of_the_same_shape_is_accepted(
    monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setattr(metadata, "version", lambda _: version)
    shapes.check(NAMES)


def test_the_command_refuses_before_it_changes_anything() -> None:
    code = (
        "import sys\n"
        "from dstack_placement.server import command, shapes\n"
        "shapes.FIRST = (0, 22, 99)\n"
        "sys.argv = ['dstack-fleets', 'server']\n"
        "try:\n"
        "    command.main()\n"
        "finally:\n"
        "    assert not [name for name in sys.modules if name.startswith('dstack.')]\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=180, check=False
    )
    assert ended.returncode == 1
    assert "dstack-fleets: The add-on does not fit this dstack" in ended.stderr
    assert "Traceback" not in ended.stderr
