"""What the programs of this folder find out, all run once for all processes of the tests.

`python -m tests.servers.findings FOLDER` writes what each of them finds to FOLDER/PROGRAM.json.
To load dstack takes longer than what most of them do: this process loads it, and they are forks.
"""

from __future__ import annotations

import gc
import importlib
import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests import ROOT

#: Seconds for a program that hangs; a busy machine takes long over one that does not.
_LIMIT = 300
#: The programs, each with its arguments after a folder.
_PROGRAMS: dict[str, tuple[str, ...]] = {
    "guarded_runs": (),
    "stored_runs": (),
    "counted_lists": ("3", "2", "12"),
    "draining_jobs": (),
    "read_specs": (),
}


def findings(folders: pytest.TempPathFactory, program: str) -> Any:
    """What a program of `tests.servers` finds."""
    shared = folders.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # a process of pytest-xdist has one in that of the session
    found = shared / "findings"
    with FileLock(f"{found}.lock"):
        if not found.exists():
            folder = folders.mktemp("findings")
            process = subprocess.run(
                [sys.executable, "-m", "tests.servers.findings", str(folder)],
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=_LIMIT,
                check=False,
            )
            assert process.returncode == 0, process.stderr
            folder.rename(found)
    return json.loads((found / f"{program}.json").read_text(encoding="utf-8"))


def _run(program: str, folder: Path) -> None:
    own = folder / program
    own.mkdir()
    told = importlib.import_module(f"tests.servers.{program}").main(str(own), *_PROGRAMS[program])
    (folder / f"{program}.json").write_text(json.dumps(told, default=str), encoding="utf-8")


def _run_all(folder: Path) -> int:
    from tests.servers import guarded_runs  # noqa: F401  # with all that the others load

    # What is loaded is no garbage; each would go through it, and copy it for that.
    gc.freeze()
    gc.set_threshold(10_000, 20, 5)
    forks = multiprocessing.get_context("fork")
    programs = [forks.Process(target=_run, args=(name, folder), name=name) for name in _PROGRAMS]
    for program in programs:
        program.start()
    for program in programs:
        program.join()
    return max(abs(program.exitcode or 0) for program in programs)


if __name__ == "__main__":
    sys.exit(_run_all(Path(sys.argv[1])))
