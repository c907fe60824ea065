"""Tests that compare the clock of this process with times from elsewhere."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.lint.source import Finding, Module, own

_CLOCKS = {"now", "utcnow", "utc_now", "today"}
_OF_TIME = {"time.time", "time.time_ns"}
_ORDER = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_MESSAGE = "compares the clock here with a time from elsewhere: compare two times of one clock"


def check(modules: list[Module]) -> Iterator[Finding]:
    """Finds asserts that put a time in order with the local clock.

    The clock is `datetime.now`, `utcnow`, `utc_now` or `time.time`, or a name that was given its
    value in the same function. Names alone can't say where another time comes from: whatever is
    not of this clock counts as from elsewhere.
    """
    for module in modules:
        for name, function in module.functions.items():
            local: set[str] = set()
            for node in own(function):
                if isinstance(node, ast.Assign) and _has_clock(module, node.value, local):
                    if not _elsewhere(module, node.value, local):
                        local |= {each.id for each in node.targets if isinstance(each, ast.Name)}
                elif isinstance(node, ast.Assert):
                    for each in ast.walk(node.test):
                        if _is_wrong(module, each, local):
                            yield Finding(module.path, each.lineno, name, _MESSAGE)


def _is_wrong(module: Module, node: ast.AST, local: set[str]) -> bool:
    return (
        isinstance(node, ast.Compare)
        and any(isinstance(each, _ORDER) for each in node.ops)
        and _has_clock(module, node, local)
        and _elsewhere(module, node, local)
    )


def _is_clock(module: Module, node: ast.AST, local: set[str]) -> bool:
    if isinstance(node, ast.Name):
        return node.id in local
    if not isinstance(node, ast.Call):
        return False
    full = module.dotted(node.func)
    return full in _OF_TIME or full.rpartition(".")[2] in _CLOCKS


def _has_clock(module: Module, node: ast.AST, local: set[str]) -> bool:
    return any(_is_clock(module, each, local) for each in ast.walk(node))


def _elsewhere(module: Module, node: ast.AST, local: set[str]) -> bool:
    """Whether a value depends on anything but the clock here, constants and spans."""
    if _is_clock(module, node, local):
        return False
    if isinstance(node, (ast.Name, ast.Attribute)):
        return module.dotted(node).rpartition(".")[2] not in ("timedelta", "abs", "timezone", "utc")
    return any(_elsewhere(module, child, local) for child in ast.iter_child_nodes(node))
