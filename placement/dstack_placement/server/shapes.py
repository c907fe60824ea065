"""The shape of dstack that the add-on is made for, checked before anything is changed.

It is read from dstack's files, not imported: what builds on dstack's models must not be imported
before the lanes are in them.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib import metadata, resources
from pathlib import Path

from dstack_placement.server.errors import AddonError

#: The release of dstack that the add-on was tested on, which its extra `server` asks for.
TESTED = "0.22.5"
#: The releases that it may run on; those it was not tested on must match too.
FIRST, BEFORE = (0, 22, 5), (0, 23)


@dataclass(frozen=True, slots=True)
class Shape:
    """One function, class, field or constant of dstack as it is.

    Attributes:
        parameters: The names of a function's parameters, or of a class's own fields and members.
        digest: Of its source; of a class, of what it is made from and of its fields.
    """

    parameters: tuple[str, ...]
    digest: str


def check(names: Iterable[str]) -> None:
    """Compares dstack's version and what is used of it with what the add-on is made for.

    Args:
        names: What is used, as `package.module:name` or `package.module:Class.field`.

    Raises:
        AddonError: Something differs; it is named.
    """
    version = metadata.version("dstack")
    known = known_shapes()
    wrong = []
    if not FIRST <= _numbers(version) < BEFORE:
        first, series = _text(FIRST), _text(FIRST[:2])
        wrong.append(f"dstack is {version}, not {first} or a later {series} release")
    for name in sorted(names):
        found = shape_of(name)
        expected = known.get(name)
        if expected is None:
            wrong.append(f"{name} has no known shape")
        elif found is None:
            wrong.append(f"{name} is missing")
        elif found.parameters != expected.parameters:
            wrong.append(
                f"{name} takes ({', '.join(found.parameters)}),"
                f" not ({', '.join(expected.parameters)})"
            )
        elif found.digest != expected.digest:
            wrong.append(f"the source of {name} differs")
    if wrong:
        raise AddonError(
            f"The add-on does not fit this dstack {version}: {'; '.join(wrong)}. Install a release"
            f" of dstack that the add-on supports (pip install 'dstack[server]=={TESTED}'), or run"
            " the stock server without it (dstack server); docs/server-addon.md says more."
        )


def known_shapes() -> dict[str, Shape]:
    """The shapes that the add-on is made for, as `shapes.json` holds them."""
    return shapes_in((resources.files(__package__) / "shapes.json").read_text(encoding="utf-8"))


def shapes_in(text: str) -> dict[str, Shape]:
    """The shapes that a file holds, by name."""
    return {
        name: Shape(tuple(entry["parameters"]), entry["digest"])
        for name, entry in json.loads(text).items()
    }


def text_of(names: Iterable[str]) -> str:
    """A file of the shapes that the installed dstack has; without those that it does not have."""
    found = {name: shape_of(name) for name in sorted(names)}
    shapes = {name: asdict(shape) for name, shape in found.items() if shape is not None}
    return f"{json.dumps(shapes, indent=2)}\n"


def shape_of(name: str) -> Shape | None:
    """The shape of something in the installed dstack; None when there is no such thing."""
    module, _, path = name.partition(":")
    read = _read(module)
    if read is None:
        return None
    tree, lines = read
    node: ast.stmt | None = None
    body = tree.body
    for part in path.split("."):
        # The last: those before it are the overloads of a function.
        node = next((each for each in reversed(body) if part in _names(each)), None)
        body = node.body if isinstance(node, ast.ClassDef) else []
    return _shape(node, lines) if node is not None else None


def _names(node: ast.stmt) -> list[str]:
    """What a statement defines."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, ast.AnnAssign):
        return [node.target.id] if isinstance(node.target, ast.Name) else []
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []


def _shape(node: ast.stmt, lines: list[str]) -> Shape:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        first = min([node.lineno, *(mark.lineno for mark in node.decorator_list)])
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        source = _source(lines, first, node.end_lineno)
        return Shape(tuple(argument.arg for argument in every), _digest(source))
    if isinstance(node, ast.ClassDef):
        # Neither what it says of itself nor its methods: a class is made, read or extended here.
        fields = [each for each in node.body if isinstance(each, (ast.AnnAssign, ast.Assign))]
        parts = [ast.unparse(each) for each in (*node.decorator_list, *node.bases)]
        parts += [_source(lines, each.lineno, each.end_lineno) for each in fields]
        names = tuple(name for each in fields for name in _names(each))
        return Shape(names, _digest("\n".join(parts)))
    return Shape((), _digest(_source(lines, node.lineno, node.end_lineno)))


def _source(lines: list[str], first: int, last: int | None) -> str:
    return "\n".join(line.rstrip() for line in lines[first - 1 : last])


def _digest(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:16]


@lru_cache
def _read(module: str) -> tuple[ast.Module, list[str]] | None:
    package = importlib.util.find_spec("dstack")
    if package is None or not package.submodule_search_locations:
        return None
    # Not through the finder of the module: that would import the packages above it.
    path = Path(package.submodule_search_locations[0]).joinpath(*module.split(".")[1:])
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            text = file.read_text(encoding="utf-8")
            return ast.parse(text), text.splitlines()
    return None


def _text(release: Iterable[int]) -> str:
    return ".".join(map(str, release))


def _numbers(version: str) -> tuple[int, ...]:
    release = version.split("+")[0].split("rc")[0].split(".dev")[0]
    return tuple(int(part) for part in release.split(".") if part.isdigit())


def _main() -> None:
    """Writes the shapes of the installed dstack, once the add-on was read against it."""
    from dstack_placement.server.compat.overrides import used

    names = used()
    missing = [name for name in names if shape_of(name) is None]
    if missing:
        raise SystemExit(f"dstack has no {', '.join(missing)}. Fix the add-on first.")
    Path(__file__).with_name("shapes.json").write_text(text_of(names), encoding="utf-8")


if __name__ == "__main__":
    _main()
