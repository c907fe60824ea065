"""Runs the tests in phases: `python -m tests fast|all|slow [ARGUMENTS OF PYTEST]`.

What needs no server comes first. Screens wait for what is drawn and stories for their servers, so
both have more processes than there are cores. The first phase that fails is the last.

Each process reads all modules that it is given, which takes it seconds, so a phase leaves out those
that have nothing for it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

#: Processes for the stories.
_STORIES = 4
_NO_TESTS = 5


#: In modules whose tests, or some of them, run on servers; all of them, where a line begins so.
_SOME = re.compile(r"mark\.(e2e|versions)")
_ALL = re.compile(r"^pytestmark = .*mark\.(e2e|versions)", re.MULTILINE)


@dataclass(frozen=True)
class _Phase:
    what: str
    arguments: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    on_servers: bool = False

    def left_out(self) -> Iterable[str]:
        """The modules that have nothing for it.

        To name those that it runs instead would have the report of snapshots take seconds: that
        compares where each snapshot is with where each test is.
        """
        for path in sorted(Path(__file__).parent.rglob("test_*.py")):
            text = path.read_text("utf-8")
            if not _SOME.search(text) if self.on_servers else _ALL.search(text):
                yield f"--ignore={path.relative_to(Path.cwd())}"


_WITHOUT_SERVER = ("-n", str(3 * (os.cpu_count() or 1)), "--dist", "worksteal")
# The longest groups begin first; pytest-xdist would put those of most tests first.
_WITH_SERVER = ("-n", str(_STORIES), "--dist", "loadgroup", "--no-loadscope-reorder")
_NO_SERVER = "not e2e and not versions"
#: Generated tests try many times as many cases, and more of them where that is asked for.
_MANY = {"DSTACK_FLEETS_TESTS_MANY": os.environ.get("DSTACK_FLEETS_TESTS_MANY") or "1"}
_FAST = _Phase("tests without a server", (*_WITHOUT_SERVER, "-m", f"{_NO_SERVER} and not slow"))
_PHASES = {
    "fast": (_FAST,),
    "all": (
        _FAST,
        _Phase("stories on servers", (*_WITH_SERVER, "-m", "e2e and not slow"), on_servers=True),
    ),
    "slow": (
        _Phase(
            "generated tests, many cases",
            (
                *_WITHOUT_SERVER,
                "-m",
                "(generated or hypothesis or slow) and not e2e and not versions",
            ),
            _MANY,
        ),
        _Phase(
            "long stories",
            (*_WITH_SERVER, "-m", "(e2e and (slow or generated)) or versions"),
            _MANY,
            on_servers=True,
        ),
    ),
}


def _environment() -> dict[str, str]:
    """Lets Python keep its bytecode: each of a thousand commands would compile all of it."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def main() -> int:
    """Runs the phases; returns the exit code of the first that fails."""
    which, *arguments = sys.argv[1:]
    ran = False
    named = any(Path(argument.partition("::")[0]).exists() for argument in arguments)
    for phase in _PHASES[which]:
        sys.stdout.write(f"== {phase.what}\n")
        sys.stdout.flush()
        left_out = () if named else phase.left_out()
        code = subprocess.run(
            [sys.executable, "-m", "pytest", *phase.arguments, *arguments, *left_out],
            env={**_environment(), **phase.environment},
            check=False,
        ).returncode
        # Which tests are asked for may leave a phase without any.
        if code not in (0, _NO_TESTS):
            return code
        ran = ran or code == 0
    return 0 if ran else _NO_TESTS


if __name__ == "__main__":
    sys.exit(main())
