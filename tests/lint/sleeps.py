"""Tests that let time pass instead of waiting for a condition."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.lint.source import Finding, Module, own

#: The only place that may let time pass.
WAITING = "tests/waiting.py"

_SLEEPS = {"time.sleep", "asyncio.sleep", "anyio.sleep"}
_TIMEOUTS = {"TimeoutError", "asyncio.TimeoutError"}
_MESSAGE = "lets time pass: wait for a condition with `until`"


def check(modules: list[Module]) -> Iterator[Finding]:
    """Finds sleeps.

    These are: `time.sleep` and `asyncio.sleep`; `pilot.pause` with a time; and `wait_for` where its
    limit is expected to run out (`except TimeoutError` around it, `pytest.raises`, `suppress`).
    """
    for module in modules:
        if module.path == WAITING:
            continue
        for name, function in {"": module.tree, **module.functions}.items():
            for node in _sleeps(module, function):
                yield Finding(module.path, node.lineno, name, _MESSAGE)


def _sleeps(module: Module, function: ast.AST) -> Iterator[ast.expr]:
    for node in own(function):
        if isinstance(node, ast.Call):
            paused = isinstance(node.func, ast.Attribute) and node.func.attr == "pause"
            if module.dotted(node.func) in _SLEEPS or (paused and _is_of_pilot(node)):
                yield node
        elif isinstance(node, ast.Try):
            if any(_catches(module, each.type) for each in node.handlers):
                yield from _limited(node.body)
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            for item in node.items:
                call = item.context_expr
                if isinstance(call, ast.Call) and any(_catches(module, arg) for arg in call.args):
                    yield from _limited(node.body)


def _is_of_pilot(node: ast.Call) -> bool:
    assert isinstance(node.func, ast.Attribute)
    of = node.func.value
    named = of.attr if isinstance(of, ast.Attribute) else getattr(of, "id", "")
    return named.endswith("pilot") and bool(node.args or node.keywords)


def _catches(module: Module, node: ast.expr | None) -> bool:
    if isinstance(node, ast.Tuple):
        return any(_catches(module, each) for each in node.elts)
    return node is not None and module.dotted(node) in _TIMEOUTS


def _limited(body: list[ast.stmt]) -> Iterator[ast.expr]:
    """Waits with a limit."""
    for statement in body:
        for node in (statement, *own(statement)):
            if isinstance(node, ast.Call) and _called(node) == "wait_for":
                yield node


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
