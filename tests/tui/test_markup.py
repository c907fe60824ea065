"""Text from a server is never parsed as markup: no call goes around the helper for it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests import ROOT

FOLDERS = (ROOT / "widgets" / "dstack_widgets", ROOT / "tui" / "dstack_fleets_tui")
#: Calls that parse a `str` as markup unless told not to, and which argument that is.
PARSING = {"Static": 0, "Label": 0, "Button": 0, "notify": 0, "Collapsible": None}
#: What makes content of text without parsing it.
SAFE = {"literal", "Content"}
#: These parse markup and are for texts of our own only; nothing here needs them.
FORBIDDEN = {"from_markup", "from_rich_text", "markup_to_content"}


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def is_safe(node: ast.expr | None) -> bool:
    if node is None:
        return True
    if isinstance(node, ast.Call):
        # self._text() and the like have to be annotated as Content, which mypy holds them to.
        return name_of(node) in SAFE or name_of(node).startswith("_")
    return isinstance(node, ast.Constant) and node.value == ""


def offences(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = name_of(node)
        if name in FORBIDDEN:
            found.append(f"{node.lineno}: {name}")
        if name in PARSING:
            unparsed = any(
                keyword.arg == "markup"
                and isinstance(keyword.value, ast.Constant)
                and keyword.value.value is False
                for keyword in node.keywords
            )
            if not unparsed and not is_safe(node.args[0] if node.args else None):
                found.append(f"{node.lineno}: {name} without markup=False")
    return found


FILES = sorted(path for folder in FOLDERS for path in folder.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_text_is_parsed_as_markup(path: Path):
    assert offences(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "self.notify(text)",
        "Static(server.name)",
        "Static(f'{name}', id='x')",
        "Content.from_markup(text)",
        "Label(text, markup=True)",
    ],
)
def test_a_call_that_goes_around_is_found(source: str):
    assert offences(source)
