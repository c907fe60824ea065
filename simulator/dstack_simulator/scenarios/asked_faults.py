"""Faults that the command on a simulator asks for by their names."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from dstack_simulator.scenarios.scenario import NamedFault

#: The variables that the command finds: the pipe that takes names, and the names with what each
#: is, as JSON.
PIPE, NAMES = "DSTACK_SIMULATOR_FAULTS", "DSTACK_SIMULATOR_FAULT_NAMES"


def listen(
    pipe: Path, faults: Mapping[str, NamedFault], take: Callable[[NamedFault], object]
) -> dict[str, str]:
    """Takes names of faults, a line each, as long as the process runs.

    Args:
        pipe: Where the pipe is made; who may write there is who may open its folder.
        faults: The faults by name; other names are ignored.
        take: Called with each fault that is asked for.

    Returns:
        The environment of the command.
    """
    os.mkfifo(pipe, 0o600)
    # Open for writing too: a pipe that nobody writes to would be at its end.
    handle = os.open(pipe, os.O_RDWR)

    def take_each() -> None:
        with os.fdopen(handle, encoding="utf-8", errors="replace") as lines:
            for line in iter(lines.readline, ""):
                fault = faults.get(line.strip())
                if fault is not None:
                    take(fault)

    threading.Thread(target=take_each, daemon=True).start()
    names = {name: fault.description for name, fault in faults.items()}
    return {PIPE: str(pipe), NAMES: json.dumps(names)}
