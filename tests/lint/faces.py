"""Modules that others import and their folder does not name, and those that it names for nobody.

`__all__` of a folder names the modules of it that code outside of the folder may import; what its
`__init__` defines or imports itself comes with the folder. A folder within a folder has its own.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.lint.imports import PACKAGES, folders
from tests.lint.source import Finding


def check(root: Path, imports: Mapping[str, set[str]]) -> Iterator[Finding]:
    """Finds them, folder by folder."""
    sources = {each.name: each for name in PACKAGES for each in root.glob(f"*/{name}")}
    named = {}
    for folder in sorted(folders(imports)):
        package, *below = folder.split(".")
        named[folder] = named_in(
            sources[package].joinpath(*below, "__init__.py").read_text("utf-8")
        )
    yield from found(imports, named)


def found(imports: Mapping[str, set[str]], named: Mapping[str, set[str]]) -> Iterator[Finding]:
    """Finds them in what is imported.

    Args:
        imports: By module, what it imports.
        named: By folder, the modules that it names.
    """
    used = needed(imports)
    for folder, names in named.items():
        users = used.get(folder, {})
        for name in sorted(users.keys() - names):
            message = f"is imported by {users[name]}, and is not in `__all__` of {folder}"
            yield Finding(f"{folder}.{name}", 1, "", message)
        for name in sorted(names - users.keys()):
            message = f"is in `__all__` of {folder}, and nobody outside of it imports it"
            yield Finding(f"{folder}.{name}", 1, "", message)


def needed(imports: Mapping[str, set[str]]) -> dict[str, dict[str, str]]:
    """By folder, its modules and folders that code outside of it imports, each with one that does.

    Args:
        imports: By module, what it imports.
    """
    used: dict[str, dict[str, str]] = {}
    for user in sorted(imports):
        for target in imports[user]:
            folder, _, name = target.rpartition(".")
            while folder and not f"{user}.".startswith(f"{folder}."):
                used.setdefault(folder, {}).setdefault(name, user)
                folder, _, name = folder.rpartition(".")
    return used


def named_in(text: str) -> set[str]:
    """The names in `__all__` of a folder that are not defined there: its modules."""
    tree, names, defined = ast.parse(text), set[str](), set[str]()
    for node in ast.walk(tree):
        if isinstance(node, (ast.ImportFrom, ast.Import)):
            defined |= {each.asname or each.name for each in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            defined.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            bound = {each.id for each in targets if isinstance(each, ast.Name)}
            if "__all__" in bound and node.value is not None:
                names |= set(ast.literal_eval(node.value))
            defined |= bound
    return names - defined
