"""Tests that judge a screen by one look after a key."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from enum import Enum

from tests.lint.source import Finding, Function, Module

#: Functions that wait until a condition holds. What calls one of them last waits too.
WAITS = {"tests.waiting.until", "tests.waiting.until_equal", "tests.painting.all_painted"}
#: Methods that do.
WAITING_METHODS = {"wait", "wait_for", "wait_for_complete"}
#: Methods that press keys or the mouse.
PRESSES = {"press", "click", "send_keys"}

#: Names of what shows something.
_SHOWS = {"app", "pilot", "screen"}
#: What an app has that no screen shows.
_UNSEEN = {"return_code", "return_value", "is_running"}
_LOOKS = {"query", "query_one", "shows"}
_WIDGETS = {"query_one", "get_widget_by_id", "table", "screen"}
_MESSAGE = "looks once at what a key changes: wait for it with `until`"


class Done(Enum):
    """What a function did last."""

    NOTHING = 0
    PRESSED = 1
    WAITED = 2


def check(modules: list[Module]) -> Iterator[Finding]:
    """Finds asserts on what a screen shows that follow a key with no wait between.

    A function is followed from top to bottom, each loop twice; of branches, the one that pressed a
    key last counts. What a screen shows is: an attribute of an app or a screen, what a query finds,
    what a helper of the tests says of an app, and names that were given one of these: a widget at
    any time (also by the `with` that opened the app), a text or the like after the key.
    """
    calls = _Calls(modules)
    for module in modules:
        for name, function in module.functions.items():
            walk = _Walk(module, calls)
            walk.statements(function.body)
            for line in sorted(walk.found):
                yield Finding(module.path, line, name, _MESSAGE)


class _Calls:
    """What the functions of the tests do last, those that others call included."""

    def __init__(self, modules: list[Module]) -> None:
        self.functions: dict[str, tuple[Module, Function]] = {
            f"{module.name}.{name}": (module, function)
            for module in modules
            for name, function in module.functions.items()
        }
        self.done: dict[str, Done] = dict.fromkeys(WAITS, Done.WAITED)
        while True:
            before = dict(self.done)
            for name, (module, function) in self.functions.items():
                if name not in WAITS and isinstance(function, ast.AsyncFunctionDef):
                    walk = _Walk(module, self)
                    walk.statements(function.body)
                    self.done[name] = walk.done
            if self.done == before:
                return

    def name(self, module: Module, node: ast.Call) -> str:
        full = module.dotted(node.func)
        return full if "." in full else f"{module.name}.{full}"

    def of(self, module: Module, node: ast.Call) -> Done:
        """What a call does last."""
        if isinstance(node.func, ast.Attribute):
            if node.func.attr in PRESSES:
                return Done.PRESSED
            if node.func.attr in WAITING_METHODS:
                return Done.WAITED
        return self.done.get(self.name(module, node), Done.NOTHING)

    def is_helper(self, module: Module, node: ast.Call) -> bool:
        found = self.functions.get(self.name(module, node))
        return found is not None and isinstance(found[1], ast.FunctionDef)


class _Walk:
    """One function from top to bottom."""

    def __init__(self, module: Module, calls: _Calls) -> None:
        self._module = module
        self._calls = calls
        self.done = Done.NOTHING
        self.found: set[int] = set()
        self._widgets: set[str] = set()
        #: Names of what was read since the last key, with no wait between.
        self._read: set[str] = set()

    def statements(self, body: list[ast.stmt]) -> None:
        for statement in body:
            self._statement(statement)

    def _statement(self, node: ast.stmt) -> None:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            return
        if isinstance(node, (ast.For, ast.AsyncFor, ast.While)):
            self._expression(node.test if isinstance(node, ast.While) else node.iter)
            self.statements([*node.body, *node.body, *node.orelse])
        elif isinstance(node, ast.If):
            self._expression(node.test)
            self._branches(node.body, node.orelse)
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            for item in node.items:
                self._expression(item.context_expr)
                self._opened(item.optional_vars)
            self.statements(node.body)
        elif isinstance(node, ast.Try):
            self.statements(node.body)
            for handler in node.handlers:
                self._branches(handler.body, [])
            self.statements([*node.orelse, *node.finalbody])
        else:
            self._expression(node)
            if isinstance(node, ast.Assign):
                self._assigned(node)
            elif isinstance(node, ast.Expr):
                self._added(node.value)
            elif isinstance(node, ast.Assert) and self.done is Done.PRESSED and self._sees(node):
                self.found.add(node.lineno)

    def _branches(self, *branches: list[ast.stmt]) -> None:
        """One of several ways: that which pressed a key last counts."""
        before, ends = self.done, []
        for branch in branches:
            self.done = before
            self.statements(branch)
            ends.append(self.done)
        pressed = Done.PRESSED in ends
        self.done = Done.PRESSED if pressed else ends[0] if ends[0] is not before else ends[-1]

    def _expression(self, node: ast.AST) -> None:
        calls = [each for each in _within(node) if isinstance(each, ast.Call)]
        for call in sorted(
            calls, key=lambda each: (each.end_lineno or 0, each.end_col_offset or 0)
        ):
            done = self._calls.of(self._module, call)
            if done is Done.WAITED:
                self._read.clear()
            if done is not Done.NOTHING:
                self.done = done

    def _assigned(self, node: ast.Assign) -> None:
        names = {
            each.id
            for target in node.targets
            for each in ast.walk(target)
            if isinstance(each, ast.Name)
        }
        self._widgets -= names
        self._read -= names
        if _is_widget(node.value):
            self._widgets |= names
        elif self.done is Done.PRESSED and self._sees(node.value):
            self._read |= names

    def _opened(self, target: ast.expr | None) -> None:
        """What a `with` gives beside an app or its pilot are widgets."""
        if isinstance(target, ast.Tuple):
            names = {each.id for each in target.elts if isinstance(each, ast.Name)}
            if names & _SHOWS:
                self._widgets |= names - _SHOWS

    def _added(self, node: ast.expr) -> None:
        """A list gets what was read."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            to = node.func.value
            read = self.done is Done.PRESSED and any(map(self._sees, node.args))
            if node.func.attr in ("append", "extend", "add") and isinstance(to, ast.Name) and read:
                self._read.add(to.id)

    def _sees(self, node: ast.AST) -> bool:
        return any(self._looks(each) for each in _within(node))

    def _looks(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Name):
            return node.id in self._read
        if isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name):
                named = node.value.id in self._widgets or node.value.id in _SHOWS
                return named and node.attr not in _UNSEEN and not self._of_pilot(node)
            return node.attr == "screen"
        if not isinstance(node, ast.Call):
            return False
        if isinstance(node.func, ast.Attribute) and node.func.attr in _LOOKS:
            return True
        given = [each.id for each in node.args if isinstance(each, ast.Name)]
        return self._calls.is_helper(self._module, node) and bool(
            ({*given} & (_SHOWS | self._widgets)) or any(map(_is_app, node.args))
        )

    def _of_pilot(self, node: ast.Attribute) -> bool:
        """`pilot.app` itself, and what presses or pauses."""
        return isinstance(node.value, ast.Name) and node.value.id == "pilot"


def _end(node: ast.Call) -> tuple[int, int]:
    return node.end_lineno or 0, node.end_col_offset or 0


def _is_app(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in ("app", "screen")


def _is_widget(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        of = node.func
        return (of.attr if isinstance(of, ast.Attribute) else getattr(of, "id", "")) in _WIDGETS
    return isinstance(node, ast.Attribute) and node.attr in _WIDGETS


def _within(node: ast.AST) -> Iterator[ast.AST]:
    """A node and what is in it; what a lambda does is not done here."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.Lambda):
            yield from _within(child)
