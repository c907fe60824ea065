"""Runs every benchmark in this folder, or the ones named: python -m tests.bench [NAME ...]."""

from __future__ import annotations

import importlib
import pkgutil
import sys

from . import __path__ as here


def main(names: list[str]) -> int:
    found = {}
    for module in pkgutil.iter_modules(here):
        if module.name.startswith("_"):
            continue
        run = getattr(importlib.import_module(f"tests.bench.{module.name}"), "run", None)
        if run is not None:
            found[module.name] = run
    unknown = sorted(set(names) - set(found))
    if unknown:
        sys.stderr.write(
            f"There is no benchmark {', '.join(unknown)}. Take of: {', '.join(found)}.\n"
        )
        return 2
    for name, run in found.items():
        if not names or name in names:
            sys.stdout.write(f"{run()}\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
