"""Runs the benchmarks in this folder, or the ones named: `python -m tests.bench [NAME ...]`.

Those that take minutes run only where they are named. One that takes options gets those after its
name: `python -m tests.bench crowd --help`.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys

from . import __path__ as here


def main(arguments: list[str]) -> int:
    first = next((n for n, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    names, options = arguments[:first], arguments[first:]
    found, long, optional = {}, set(), set()
    for module in pkgutil.iter_modules(here):
        if module.name.startswith("_"):
            continue
        loaded = importlib.import_module(f"tests.bench.{module.name}")
        run = getattr(loaded, "run", None)
        if run is not None:
            found[module.name] = run
            if getattr(loaded, "ONLY_IF_NAMED", False):
                long.add(module.name)
            if getattr(loaded, "TAKES_OPTIONS", False):
                optional.add(module.name)
    unknown = sorted(set(names) - set(found))
    if unknown:
        sys.stderr.write(
            f"There is no benchmark {', '.join(unknown)}. Use one of: {', '.join(found)}.\n"
        )
        return 2
    if options and (len(names) != 1 or names[0] not in optional):
        sys.stderr.write(f"Options are for one of: {', '.join(sorted(optional))}.\n")
        return 2
    for name, run in found.items():
        if name in names or not (names or name in long):
            sys.stdout.write(f"{run(options) if name in optional else run()}\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
