"""Runs the benchmarks in this folder, or the ones named: `python -m tests.bench [NAME ...]`.

All of them together write docs/performance.md. Those that take minutes run only where they are
named. With `--keep` what is found becomes the figures of the repository; without, a figure that is
worse by more than a third fails the run. One benchmark that takes options gets those after its
name: `python -m tests.bench crowd --help`.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable, Mapping

from . import __path__ as here
from . import figures, page
from .table import Table

_KEEP = "--keep"


def main(arguments: list[str]) -> int:
    """Runs benchmarks.

    Args:
        arguments: Their names, and options.

    Returns:
        The exit code.
    """
    keeps = _KEEP in arguments
    arguments = [word for word in arguments if word != _KEEP]
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
    chosen = [name for name in found if name in names or not (names or name in long)]
    runs: dict[str, Callable[[], Table]] = {
        name: (lambda name=name: found[name](options) if name in optional else found[name]())
        for name in chosen
    }
    return _compared(runs, keeps=keeps, writes=not names)


def _compared(runs: Mapping[str, Callable[[], Table]], *, keeps: bool, writes: bool) -> int:
    """Runs benchmarks, and compares what they find with the figures of the repository."""
    tables, units_ms, worse, wrong = [], [], [], []
    for run in runs.values():
        before = figures.yardstick()
        table = run()
        unit_ms = (before + figures.yardstick()) / 2
        sys.stdout.write(f"{table}\n")
        sys.stdout.flush()
        wrong += table.wrong
        worse += figures.regressions(table.figures, unit_ms)
        if keeps:
            figures.keep({figure.key: figure.score(unit_ms) for figure in table.figures})
        tables.append(table)
        units_ms.append(unit_ms)
    if writes:
        page.write([*runs], tables, units_ms)
    if worse and not keeps:
        sys.stderr.write("\n".join(("Worse by more than a third:", *worse)) + "\n")
        return 1
    if wrong:
        sys.stderr.write("\n".join(wrong) + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
