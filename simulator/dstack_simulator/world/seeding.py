"""Writing a data set before the server starts, in a process of its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from dstack_simulator.errors import SimulatorError
from dstack_simulator.folder import last_line


async def seed(name: str, *, environment: Mapping[str, str], log: Path) -> None:
    """Writes a data set into the database of the server that is about to start.

    Args:
        name: The data set.
        environment: The server's environment.
        log: Where output goes.

    Raises:
        SimulatorError: It failed.
    """
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "dstack_simulator.seeds", name),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=dict(environment),
        )
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
    if code:
        raise SimulatorError(
            f"The data set {name} could not be written: {last_line(log)} The log is {log}."
        )
