"""Addresses of the server's API outside of the one package that may know them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.lint.source import Finding

#: What is looked through, from the root of the project.
_PLACES = ("api_client", "tui", "widgets")
_HOME = "api_client/dstack_api_client/transport/"


def check(root: Path) -> Iterator[Finding]:
    """Finds them, file by file."""
    for place in _PLACES:
        for file in sorted((root / place).rglob("*.py")):
            path = file.relative_to(root).as_posix()
            if not path.startswith(_HOME):
                yield from found(file.read_text("utf-8"), path)


def found(text: str, path: str) -> Iterator[Finding]:
    """Finds them in one text."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and str(node.value).startswith("/api/"):
            message = f"knows the address {node.value!r}: ask through {_HOME}"
            yield Finding(path, node.lineno, "", message)
