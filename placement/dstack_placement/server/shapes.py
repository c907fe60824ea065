"""The shape of dstack that the add-on is made for, checked before anything is changed.

The functions are read from their files, not imported: what builds on dstack's models must not be
imported before the lanes are in them.
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

#: The releases of dstack that the add-on may run on; those it was not tested on must match too.
FIRST, BEFORE = (0, 22, 5), (0, 23)


@dataclass(frozen=True, slots=True)
class Shape:
    """One function of dstack as it is.

    Attributes:
        parameters: The names of its parameters.
        digest: Of its source.
    """

    parameters: tuple[str, ...]
    digest: str


def check(names: Iterable[str]) -> None:
    """Compares dstack's version and functions with what the add-on is made for.

    Args:
        names: The functions, as `package.module:function`.

    Raises:
        AddonError: Something differs; it is named.
    """
    version = metadata.version("dstack")
    known = known_shapes()
    wrong = []
    if not FIRST <= _numbers(version) < BEFORE:
        wrong.append(f"dstack is {version}, not 0.22.5 or a later 0.22 release")
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
            " of dstack that the add-on supports, or run the stock server without it."
        )


def known_shapes() -> dict[str, Shape]:
    """The shapes that the add-on is made for, as `shapes.json` holds them."""
    text = (resources.files(__package__) / "shapes.json").read_text(encoding="utf-8")
    return {
        name: Shape(tuple(entry["parameters"]), entry["digest"])
        for name, entry in json.loads(text).items()
    }


def shape_of(name: str) -> Shape | None:
    """The shape of a function of the installed dstack; None when there is no such function."""
    module, _, function = name.partition(":")
    read = _read(module)
    if read is None:
        return None
    tree, lines = read
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == function:
            first = min([node.lineno, *(mark.lineno for mark in node.decorator_list)])
            source = "\n".join(line.rstrip() for line in lines[first - 1 : node.end_lineno])
            arguments = node.args
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            digest = hashlib.sha256(source.encode()).hexdigest()[:16]
            return Shape(tuple(argument.arg for argument in every), digest)
    return None


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


def _numbers(version: str) -> tuple[int, ...]:
    release = version.split("+")[0].split("rc")[0].split(".dev")[0]
    return tuple(int(part) for part in release.split(".") if part.isdigit())


def _main() -> None:
    """Writes the shapes of the installed dstack, once the overrides were read against it."""
    from dstack_placement.server.overrides import OVERRIDES

    found = {override.function: shape_of(override.function) for override in OVERRIDES}
    missing = [name for name, shape in found.items() if shape is None]
    if missing:
        raise SystemExit(f"dstack has no {', '.join(missing)}. Mend the overrides first.")
    text = json.dumps(
        {name: asdict(shape) for name, shape in sorted(found.items()) if shape}, indent=2
    )
    Path(__file__).with_name("shapes.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    _main()
