"""The modules of the tests as syntax trees, and what checks find in them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, order=True)
class Finding:
    """A place in a test and what is wrong there."""

    path: str
    line: int
    function: str
    """The innermost function, its class and outer functions before it; empty outside of any."""
    message: str

    @property
    def place(self) -> str:
        """How the list of exceptions names it."""
        return f"{self.path}:{self.function}"

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.function}: {self.message}"


@dataclass
class Module:
    """A module of the tests."""

    path: str
    """From the root of the project, with slashes."""
    tree: ast.Module
    functions: dict[str, Function] = field(init=False)
    """All functions by their qualified names."""
    imported: dict[str, tuple[str, str]] = field(init=False)
    """Local names, each with the module and the name that it stands for."""

    def __post_init__(self) -> None:
        self.functions = dict(_functions(self.tree, ""))
        self.imported = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom):
                source = self._absolute(node)
                for name in node.names:
                    self.imported[name.asname or name.name] = (source, name.name)
            elif isinstance(node, ast.Import):
                for name in node.names:
                    if name.asname or "." not in name.name:
                        self.imported[name.asname or name.name] = (name.name, "")

    @property
    def name(self) -> str:
        """As in an import."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    def imports(self) -> Iterator[tuple[int, str]]:
        """Each name that is imported in full, or a module, and the line that it is on."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom):
                source = self._absolute(node)
                yield node.lineno, source
                yield from ((node.lineno, f"{source}.{each.name}") for each in node.names)
            elif isinstance(node, ast.Import):
                yield from ((node.lineno, each.name) for each in node.names)

    def dotted(self, node: ast.expr) -> str:
        """The full name of a function or class that is called, as far as imports say it."""
        if isinstance(node, ast.Attribute):
            return f"{self.dotted(node.value)}.{node.attr}"
        if isinstance(node, ast.Name):
            source, name = self.imported.get(node.id, ("", node.id))
            return ".".join(part for part in (source, name) if part)
        return "?"

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.path.removesuffix(".py").split("/")[: -node.level]
        return ".".join([*parts, *([node.module] if node.module else [])])


def read(root: Path) -> list[Module]:
    """All modules in `tests` below a folder."""
    return [
        Module(path.relative_to(root).as_posix(), ast.parse(path.read_text()))
        for path in sorted((root / "tests").rglob("*.py"))
    ]


def own(node: ast.AST) -> Iterator[ast.AST]:
    """What a function does itself, in order; functions within it are others."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            continue
        yield child
        yield from own(child)


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            name = f"{prefix}{child.name}"
            if not isinstance(child, ast.ClassDef):
                yield name, child
            yield from _functions(child, f"{name}.")
        else:
            yield from _functions(child, prefix)
