"""Commands of the command line, run against a server: as a program, or in this process.

A program of its own takes most of a second of CPU to start, so one story for each command runs it,
and the rest call the same `main` here.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

from dstack_fleets_tui.cli.main import main
from dstack_simulator.handle.handle import Handle

Ended = subprocess.CompletedProcess[str]

#: What is read of the scenario `demo` in each form.
KINDS = ("fleets", "instances", "services", "replicas")
#: In that scenario, as the value of an environment variable that is never to be shown.
SECRET = "hf_not_for_anyone"


def environment(sim: Handle, home: Path | None = None, **more: str) -> dict[str, str]:
    """The server's, with a home of the test's own: this user's settings are theirs."""
    folder = str(home or sim.folder.home)
    folders = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"), folder)
    return {**os.environ, **folders, **sim.environment, **more}


def program(sim: Handle, *arguments: str, **more: str) -> Ended:
    """Runs the command line as a program of its own, some of its environment replaced."""
    return subprocess.run(
        [sys.executable, "-m", "dstack_fleets_tui", *arguments],
        env=environment(sim, **more),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def here(sim: Handle, *arguments: str, home: Path | None = None, **more: str) -> Ended:
    """Runs the command line in this process, with the program's environment."""
    out, err = io.StringIO(), io.StringIO()

    def run() -> int:
        try:
            return main(arguments)
        except SystemExit as end:
            return int(end.code or 0)

    # It runs an event loop of its own, which needs a thread without one.
    with (
        mock.patch.dict(os.environ, environment(sim, home, **more), clear=True),
        redirect_stdout(out),
        redirect_stderr(err),
        ThreadPoolExecutor(1) as thread,
    ):
        code = thread.submit(run).result()
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())
