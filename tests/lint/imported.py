"""Test modules that others import: what several need belongs to builders or servers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.lint.source import Finding, Module

_TESTS = re.compile(r"tests\.(\w+\.)*test_\w+")
_MESSAGE = "imports a test module: what both need belongs to tests/builders or tests/servers"


def check(modules: list[Module]) -> Iterator[Finding]:
    """Finds imports of test modules."""
    for module in modules:
        for line, name in module.imports():
            if _TESTS.fullmatch(name):
                yield Finding(module.path, line, "", _MESSAGE)
