"""What the programs of this folder find out, each run once for all processes of the tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from filelock import FileLock

from tests import ROOT

#: Seconds for a program that hangs; a busy machine takes long over one that does not.
_LIMIT = 300


def findings(folders: pytest.TempPathFactory, program: str, *arguments: str) -> Any:
    """What a program of `tests.servers` prints as JSON, given a folder and arguments."""
    shared = folders.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # a process of pytest-xdist has one in that of the session
    printed = shared / f"{program}.json"
    with FileLock(f"{printed}.lock"):
        if not printed.exists():
            folder = str(folders.mktemp(program))
            process = subprocess.run(
                [sys.executable, "-m", f"tests.servers.{program}", folder, *arguments],
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=_LIMIT,
                check=False,
            )
            assert process.returncode == 0, process.stderr
            printed.write_text(process.stdout, encoding="utf-8")
    return json.loads(printed.read_text(encoding="utf-8"))
