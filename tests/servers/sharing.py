"""Servers that all processes of a test session share.

The process that pytest was called in owns them, and starts each when it is first asked for. It
listens on a socket, which the processes of pytest-xdist find by their environment; who asks for a
server by name gets a handle of it. All servers end with the session.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

from dstack_simulator import Simulator
from dstack_simulator.errors import SimulatorError
from dstack_simulator.handle.handle import Handle
from dstack_simulator.scenarios import scenario as scenarios
from tests.servers.addon import LAUNCHER
from tests.servers.stopping import stopped
from tests.waiting import until

#: The variables that say where to ask, and with which key.
_ADDRESS, _KEY = "DSTACK_FLEETS_TESTS_SERVERS", "DSTACK_FLEETS_TESTS_SERVERS_KEY"
#: An unhealthy host shows while one looks.
_SETTINGS = {"DSTACK_SERVER_INSTANCE_HEALTH_MIN_COLLECT_INTERVAL_SECONDS": "1"}


def _empty() -> scenarios.Scenario:
    server = {"environment": _SETTINGS}
    return scenarios.Scenario.model_validate({"description": "Nothing", "server": server})


def _with_addon() -> Simulator:
    return Simulator(_empty(), launcher=LAUNCHER, pace="quick")


#: The servers, by name.
_SERVERS: dict[str, Callable[[], Simulator]] = {
    # SQLite has one writer at a time, so what writes all the time is on a server of its own.
    **dict.fromkeys(("addon", "routers", "stories"), _with_addon),
    "stock": lambda: Simulator(_empty(), pace="quick"),
    "large": lambda: Simulator("large"),
}


class SharedServers:
    """The owner of the servers, in the process that pytest was called in."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="dtest-"))
        key = os.urandom(16)
        self._listener = Listener(str(self._folder / "servers"), authkey=key)
        os.environ[_ADDRESS] = str(self._folder / "servers")
        os.environ[_KEY] = key.hex()
        self._locks = {name: threading.Lock() for name in _SERVERS}
        self._handles: dict[str, Handle] = {}
        self._started: list[Simulator] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Ends the servers.

        Raises:
            RuntimeError: One has left processes behind.
        """
        self._listener.close()
        for name in (_ADDRESS, _KEY):
            os.environ.pop(name, None)
        shutil.rmtree(self._folder, ignore_errors=True)
        left = []
        for simulator in self._started:
            simulator.stop()
            left += simulator.processes()
        if left:
            raise RuntimeError(f"shared servers left processes behind: {left}")

    def _serve(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: Connection) -> None:
        name = connection.recv()
        try:
            connection.send(("handle", self._handle(name).state))
        except Exception as error:  # it is for the process that asked
            connection.send(("error", f"{type(error).__name__}: {error}"))

    def _handle(self, name: str) -> Handle:
        with self._locks[name]:
            if name not in self._handles:
                self._handles[name] = self._start(name)
            return self._handles[name]

    def _start(self, name: str) -> Handle:
        simulator = _SERVERS[name]()
        self._started.append(simulator)
        return simulator.start()


def shared(name: str) -> Handle:
    """A handle of a shared server; it is started now if it was not yet.

    Raises:
        RuntimeError: It did not start.
    """
    address, key = os.environ[_ADDRESS], bytes.fromhex(os.environ[_KEY])
    with Client(address, authkey=key) as connection:
        connection.send(name)
        kind, value = connection.recv()
    if kind == "error":
        raise RuntimeError(f"The shared server {name} did not start: {value}")
    return Handle.attached(value)


async def emptied(project: Handle) -> None:
    """Ends what runs in a project, and its instances, each of which its server looks at."""
    runs: list[dict[str, Any]] = await project.api(
        "/api/runs/list", {"project_name": project.project, "only_active": True}
    )
    names = [run["run_spec"]["run_name"] for run in runs]
    await asyncio.gather(*(stopped(project, name) for name in names))

    fleets = [fleet["name"] for fleet in await project.api("fleets/list")]

    async def deleted() -> bool:
        """Whether the fleets are deleted, or are being so.

        dstack 0.22.5 calls a run ended by the last submission of each replica: an older one that
        was scaled down may still be ending, and the fleet be in use.
        """
        try:
            await project.api("fleets/delete", {"names": fleets})
        except SimulatorError as error:
            if "in use" not in str(error):
                raise
            return False
        return True

    if fleets:
        await until(deleted, limit=60, every=0.3, what=f"no fleet of {project.project} is in use")
