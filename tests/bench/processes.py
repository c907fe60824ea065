"""Processes that a benchmark runs: with what environment, and what they take."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests import ROOT


class Ended(NamedTuple):
    """A process that has ended.

    Attributes:
        wall: Seconds by the clock.
        cpu: Seconds of processor time.
        output: What it printed.
    """

    wall: float
    cpu: float
    output: str


def environment(folder: Path, **more: str) -> dict[str, str]:
    """The environment of a user who has nothing but a folder.

    Python keeps its bytecode there, whatever is said of that here: an installed program has it.

    Args:
        folder: The folder.
        more: Further variables.
    """
    folders = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"), f"{folder}")
    others = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("DSTACK_") and key != "PYTHONDONTWRITEBYTECODE"
    }
    return {**others, **folders, "PYTHONPYCACHEPREFIX": f"{folder / 'bytecode'}", **more}


def taken(words: Sequence[str], given: dict[str, str]) -> Ended:
    """Runs a command to its end.

    Args:
        words: It.
        given: Its environment.
    """
    before, began = os.times(), time.monotonic()
    ended = subprocess.run(
        words,
        cwd=ROOT,
        env=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    wall, after = time.monotonic() - began, os.times()
    used = after.children_user + after.children_system
    cpu = used - before.children_user - before.children_system
    return Ended(wall, cpu, ended.stdout.decode())
