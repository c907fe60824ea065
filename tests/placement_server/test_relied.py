"""All that the add-on takes from dstack is checked when it starts, or has a reason not to be."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import dstack_placement.server
from dstack_placement.server import shapes
from dstack_placement.server.compat import relied
from dstack_placement.server.compat.overrides import used
from tests import ROOT

FOLDER = Path(dstack_placement.server.__file__).parent


def is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def taken(source: str) -> set[str]:
    """What a module takes from dstack, as `shapes` names it: what it imports, or gets of one."""
    tree = ast.parse(source)
    found = set()
    modules = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert not any(each.name.split(".")[0] == "dstack" for each in node.names), source
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "dstack":
            for each in node.names:
                name = f"{node.module}.{each.name}"
                if is_module(name):
                    modules[each.asname or each.name] = name
                else:
                    found.add(f"{node.module}:{each.name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = modules.get(node.value.id)
            if module is not None:
                found.add(f"{module}:{node.attr}")
    return found


def everything() -> set[str]:
    return set().union(*(taken(path.read_text(encoding="utf-8")) for path in FOLDER.rglob("*.py")))


def test_both_ways_of_taking_are_seen() -> None:
    source = (
        "from dstack._internal.server.services import events\n"
        "from dstack._internal.server.models import JobModel as Job\n"
        "def f():\n    from dstack._internal.server import db\n    events.emit(db.get_db, Job.id)\n"
    )
    assert taken(source) == {
        "dstack._internal.server.services.events:emit",
        "dstack._internal.server.db:get_db",
        "dstack._internal.server.models:JobModel",
    }


def test_every_name_that_is_taken_is_checked_or_excused() -> None:
    found = everything()
    assert len(found) > 60
    assert sorted(found - set(used()) - relied.EXCUSED.keys()) == []


def test_excuses_are_few_and_say_why() -> None:
    assert relied.EXCUSED.keys() <= everything()
    assert not relied.EXCUSED.keys() & set(used())
    assert all(re.fullmatch(r"[A-Z][^\n]+\.", why) for why in relied.EXCUSED.values())
    assert len(relied.EXCUSED) <= 5


def test_the_extras_ask_for_the_release_that_was_tested() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    asked = re.findall(r'"dstack\[\w+\]([^"]*)"', text)
    assert asked == [f"=={shapes.TESTED}"] * 2
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert f"dstack=={shapes.TESTED}\n" in pinned


def test_the_manual_says_how_to_go_on_with_another_release() -> None:
    manual = (ROOT / "docs" / "server-addon.md").read_text(encoding="utf-8")
    assert "## With another release of dstack" in manual
    assert f"dstack[server]=={shapes.TESTED}" in manual
