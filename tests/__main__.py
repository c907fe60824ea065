"""Runs the tests in phases: `python -m tests fast|all|slow [ARGUMENTS OF PYTEST]`.

What needs no server comes first. Screens wait for what is drawn and stories for their servers, so
both have more processes than there are cores. The first phase that fails is the last.

Each process reads all modules that it is given, which takes it seconds, so a phase leaves out those
that have nothing for it. Without a server, screens have several processes, since they wait; what
draws nothing has one beside them. To load dstack takes as long again: the few modules that do, or
that run what hosts are emulated with, have one process beside the stories, which load it as well.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import IO

from tests import LEFT_OUT

#: Processes for the stories.
_STORIES = 4
_NO_TESTS = 5


#: In modules whose tests, or some of them, run on servers; all of them, where a line begins so.
_SOME = re.compile(r"mark\.(e2e|versions)")
_ALL = re.compile(r"^pytestmark = .*mark\.(e2e|versions)", re.MULTILINE)
#: In modules that load dstack, have a process do that for all of them, or load what the hosts of a
#: simulator are made of.
_LOADS = re.compile(
    r"^(from|import) (dstack[. ]|dstack_placement\.server\.drain\.engine_loads"
    r"|tests\.servers\.findings|dstack_simulator\.hosts|tests\.builders\.emulated_hosts|aiohttp|asyncssh)"
    r"|\bdstack: ModuleType",  # the fixture
    re.MULTILINE,
)


#: Folders of what runs in apps.
_SCREENS = ("tui", "widgets")


class _Kind(Enum):
    """What a module without a server needs."""

    SCREENS = "screens"
    PLAIN = "plain"
    LOADS = "loads"


@dataclass(frozen=True)
class _Phase:
    what: str
    arguments: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    on_servers: bool = False
    kind: _Kind | None = None
    """The modules that it has; None for all."""
    beside: tuple[_Phase, ...] = ()
    """What runs at the same time, and is reported after it."""

    def left_out(self) -> Iterable[Path]:
        """The modules that have nothing for it, and the folders that have nothing else.

        To name those that it runs instead would have the report of snapshots take seconds: that
        compares where each snapshot is with where each test is.
        """
        here = Path(__file__).parent
        for folder in sorted({path.parent for path in here.rglob("test_*.py")}):
            modules = sorted(folder.glob("test_*.py"))
            without = [path for path in modules if not self._has(path)]
            yield from [folder] if without == modules else without

    def _has(self, path: Path) -> bool:
        module = path.read_text("utf-8")
        if self.on_servers:
            return _SOME.search(module) is not None
        if _ALL.search(module):
            return False
        if self.kind is None:
            return True
        if _LOADS.search(module):
            return self.kind is _Kind.LOADS
        screens = path.parent.name in _SCREENS
        return self.kind is (_Kind.SCREENS if screens else _Kind.PLAIN)


def _many_processes(*, beside: int = 0) -> tuple[str, ...]:
    """Processes for what waits: three for each core, less those that are beside them."""
    return ("-n", str(3 * (os.cpu_count() or 1) - beside), "--dist", "worksteal")


# The longest groups begin first; pytest-xdist would put those of most tests first.
_WITH_SERVER = ("-n", str(_STORIES), "--dist", "loadgroup", "--no-loadscope-reorder")
_NO_SERVER = "not e2e and not versions"
#: Generated tests try many times as many cases, and more of them where that is asked for.
_MANY = {"DSTACK_FLEETS_TESTS_MANY": os.environ.get("DSTACK_FLEETS_TESTS_MANY") or "1"}
_FAST_ONES = f"{_NO_SERVER} and not slow"
_LOADED = _Phase("parts of servers", ("-n", "0", "-m", _FAST_ONES), kind=_Kind.LOADS)
_PLAIN = _Phase("tests that draw nothing", ("-n", "0", "-m", _FAST_ONES), kind=_Kind.PLAIN)
_FAST = _Phase(
    "tests of screens and commands",
    (*_many_processes(beside=1), "-m", _FAST_ONES),
    kind=_Kind.SCREENS,
    beside=(_PLAIN,),
)
_PHASES = {
    "fast": (_FAST,),
    "all": (
        _FAST,
        _Phase(
            "stories on servers",
            (*_WITH_SERVER, "-m", "e2e and not slow"),
            on_servers=True,
            beside=(_LOADED,),
        ),
    ),
    "slow": (
        _Phase(
            "generated tests, many cases",
            (
                *_many_processes(),
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


def _begun(
    phase: _Phase,
    arguments: list[str],
    *,
    left_out: Iterable[Path],
    output: IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    environment = {**_environment(), **phase.environment}
    environment[LEFT_OUT] = os.pathsep.join(map(str, left_out))
    command = [sys.executable, "-m", "pytest", *phase.arguments, *arguments]
    return subprocess.Popen(command, env=environment, stdout=output, stderr=output)


def _codes(phase: _Phase, arguments: list[str]) -> Iterator[int]:
    """Runs a phase, and what is beside it; the exit codes."""
    _say(f"== {phase.what}\n")
    if any(Path(argument.partition("::")[0]).exists() for argument in arguments):
        yield _begun(phase, arguments, left_out=()).wait()
        return
    with ExitStack() as files:
        beside = []
        for more in phase.beside:
            output = files.enter_context(tempfile.TemporaryFile())
            begun = _begun(more, arguments, left_out=more.left_out(), output=output)
            beside.append((more, begun, output))
        yield _begun(phase, arguments, left_out=phase.left_out()).wait()
        for more, begun, output in beside:
            code = begun.wait()
            output.seek(0)
            _say(f"== {more.what}\n{output.read().decode()}")
            yield code


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def main() -> int:
    """Runs the phases; returns the exit code of the first that fails."""
    which, *arguments = sys.argv[1:]
    ran = False
    for phase in _PHASES[which]:
        # Which tests are asked for may leave a phase without any.
        codes = [code for code in _codes(phase, arguments) if code != _NO_TESTS]
        if any(codes):
            return next(filter(None, codes))
        ran = ran or bool(codes)
    return 0 if ran else _NO_TESTS


if __name__ == "__main__":
    sys.exit(main())
