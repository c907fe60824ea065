"""Runs a world: started by the simulator's handle, ended when that goes away.

The first line of standard input is a JSON object with what to run; the first line of standard
output is one with where it is, or with an error for a person.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from dstack_simulator.errors import PortTakenError, SimulatorError
from dstack_simulator.folder import Folder
from dstack_simulator.processes import end_marked, when_input_ends
from dstack_simulator.scenarios import scenario
from dstack_simulator.world.options import Options
from dstack_simulator.world.world import World


def main() -> None:
    """Reads what to run and runs it until standard input ends."""
    asked = json.loads(_read_line())
    folder = Folder(Path(asked["folder"]), Path(asked["temporary"]))
    # A signal meant for the terminal's program is none for this process: its end is the pipe's.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(
        filename=folder.world_log, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        asyncio.run(_run(folder, asked))
    finally:
        end_marked(asked["mark"], besides=(os.getpid(),))
        shutil.rmtree(folder.temporary, ignore_errors=True)
        if asked["remove_folder"]:
            shutil.rmtree(folder.root, ignore_errors=True)


async def _run(folder: Folder, asked: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    when_input_ends(lambda: _end_soon(loop, ended))
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    world = World(
        Options(
            folder=folder,
            kept=not asked["remove_folder"],
            scenario=scenario.Scenario.model_validate(asked["scenario"]),
            mark=asked["mark"],
            control_token=asked["control_token"],
            server_token=asked["server_token"],
            port=asked["port"],
            before=tuple(asked["before"]),
            start_limit=asked["start_limit"],
            database=asked["database"],
            servers=asked["servers"],
            pace=asked["pace"],
            preloaded=asked["preloaded"],
        )
    )
    try:
        answer = await world.open()
    except SimulatorError as error:
        _tell({"error": str(error), "port_taken": isinstance(error, PortTakenError)})
        return
    _tell(answer)
    try:
        await ended.wait()
    finally:
        await world.close()


def _end_soon(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    loop.call_soon_threadsafe(ended.set)


def _read_line() -> bytes:
    # Byte by byte: what follows the line must stay in the pipe, whose end is waited for.
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            break
        line += byte
    return line


def _tell(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
