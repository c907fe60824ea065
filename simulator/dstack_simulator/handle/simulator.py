"""A simulator: its processes, started and ended, and a handle of its project `main`."""

from __future__ import annotations

import asyncio
import atexit
import importlib.util
import json
import os
import secrets
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from dstack_simulator.errors import PortTakenError, SimulatorError
from dstack_simulator.folder import Folder, find_ssh, last_line
from dstack_simulator.handle.control import ControlClient
from dstack_simulator.handle.handle import Handle
from dstack_simulator.scenarios import scenario as scenarios

_EXTRA_MODULES = ("dstack", "fastapi", "boto3", "asyncssh", "aiohttp", "psutil", "smg")
_WORLD_LIMIT = 120.0
_END_LIMIT = 20.0


class Simulator(Handle):
    """A real dstack server on loopback, with emulated hosts and an emulated cloud.

    `async with Simulator("demo") as sim:` or `with Simulator("demo") as sim:` starts one, waits
    until its server answers, and leaves nothing behind.
    """

    def __init__(
        self,
        scenario: str | scenarios.Scenario,
        *,
        port: int | None = None,
        folder: Path | None = None,
        launcher: Sequence[str] = (),
        database: str | None = None,
        servers: int = 1,
        pace: scenarios.Pace | None = None,
        token: str | None = None,
        start_limit: float = 180.0,
        preloaded: bool = False,
    ) -> None:
        """Prepares a simulator; starts nothing.

        Args:
            scenario: The name of one that is shipped, the path of a YAML file, or one made here.
            port: Where the server shall be; any free port if None.
            folder: Where databases and logs go, kept afterwards; a temporary one if None.
            launcher: Modules that the server's process imports before anything of dstack, after
                those that the scenario asks for.
            database: The URL of a PostgreSQL database, empty or of another simulator, such as
                `postgresql+asyncpg://user:password@127.0.0.1:5432/dstack`; SQLite if None.
            servers: How many servers work on the database at the same time.
            pace: `real` or `quick`; the scenario's own if None.
            token: The administrator's, which a database that is not new has already; a new one if
                None.
            start_limit: Seconds within which the server must answer.
            preloaded: Whether a server that was killed starts from a process that has dstack
                loaded: several times as fast. One that was ended gracefully does not.

        Raises:
            SimulatorError: The scenario makes no sense, or something isn't installed.
        """
        if isinstance(scenario, str):
            self.name = scenario
            self.scenario = scenarios.load(scenario)
        else:
            self.name = scenario.description
            self.scenario = scenario
        if servers < 1 or (servers > 1 and database is None):
            raise SimulatorError(
                "Several servers need one database to share. Give the URL of a PostgreSQL database."
            )
        check_installation()
        super().__init__(
            token=token or secrets.token_hex(16),
            mark=secrets.token_hex(16),
            control=ControlClient(secrets.token_hex(16)),
            limit=self.scenario.limit + start_limit,
        )
        self._port = port
        self._asked_folder = folder
        self._launcher = (*self.scenario.server.modules, *launcher)
        self._database = database
        self._servers = servers
        self._pace = pace or self.scenario.pace
        self._start_limit = start_limit
        self._preloaded = preloaded
        self._world: subprocess.Popen[bytes] | None = None

    def open(self) -> None:
        """Starts the world and the server, without waiting for the server.

        Raises:
            SimulatorError: It could not be started.
        """
        self._folder = _make_folder(self._asked_folder)
        self._folder.prepare(self._servers)
        atexit.register(self.stop)
        with self.folder.world_log.open("ab") as log:
            self._world = subprocess.Popen(
                [sys.executable, "-m", "dstack_simulator.world"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self.folder.environment(self.mark, {}),
                cwd=self._folder.root,
                # Of its own process group: Ctrl+C is for the terminal's program.
                start_new_session=True,
            )
        try:
            self._greet(self._world)
        except BaseException:
            self.stop()
            raise

    def wait_ready(self) -> None:
        """As `ready`, for code without an event loop."""
        answer = self.control.call("world/ready", limit=self._ready_limit)
        self._server_ports = answer["server_ports"]

    def start(self) -> Simulator:
        """Starts everything and waits until the server answers."""
        self.open()
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Ends everything that was started and removes the temporary folder."""
        atexit.unregister(self.stop)
        world, self._world = self._world, None
        if world is not None:
            if world.stdin is not None:
                world.stdin.close()
            try:
                world.wait(_END_LIMIT)
            except subprocess.TimeoutExpired:
                world.kill()
                world.wait()
            if world.stdout is not None:
                world.stdout.close()
        from dstack_simulator.processes import end_marked

        left = end_marked(self.mark)
        if self._folder is not None:
            # The world has done so, unless it was killed.
            shutil.rmtree(self._folder.temporary, ignore_errors=True)
            if self._asked_folder is None:
                shutil.rmtree(self._folder.root, ignore_errors=True)
                self._folder = None
        if left:
            raise SimulatorError(
                f"These processes could not be ended: {', '.join(map(str, left))}. End them by"
                " hand."
            )

    def __enter__(self) -> Simulator:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Simulator:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.stop)

    @property
    def _ready_limit(self) -> float:
        # Writing a data set and another try on another port come on top.
        return self._start_limit * 3

    def _greet(self, world: subprocess.Popen[bytes]) -> None:
        assert world.stdin is not None
        assert world.stdout is not None
        asked = {
            "scenario": self.scenario.model_dump(mode="json", by_alias=True),
            "folder": str(self.folder.root),
            "temporary": str(self.folder.temporary),
            "remove_folder": self._asked_folder is None,
            "mark": self.mark,
            "control_token": self.control.token,
            "server_token": self.token,
            "port": self._port,
            "before": list(self._launcher),
            "start_limit": self._start_limit,
            "database": self._database,
            "servers": self._servers,
            "pace": self._pace,
            "preloaded": self._preloaded,
        }
        line = b""
        try:
            world.stdin.write(json.dumps(asked).encode() + b"\n")
            world.stdin.flush()
            end = time.monotonic() + _WORLD_LIMIT
            while not line.endswith(b"\n") and (left := end - time.monotonic()) > 0:
                if not select.select([world.stdout], [], [], left)[0]:
                    break
                data = os.read(world.stdout.fileno(), 65536)
                if not data:
                    break
                line += data
        except BrokenPipeError:
            # It ended before it had read what to do; its log says why.
            pass
        if not line.endswith(b"\n"):
            raise SimulatorError(
                f"The simulator's world did not start: {last_line(self.folder.world_log)}"
            )
        answer = json.loads(line)
        if "error" in answer:
            kind = PortTakenError if answer.get("port_taken") else SimulatorError
            raise kind(answer["error"])
        self._lead_to(answer["urls"], answer["project"])
        self.control.url = answer["control_url"]


def check_installation() -> None:
    """Makes sure that what a simulator needs is installed.

    Raises:
        SimulatorError: Something is missing; says how to get it.
    """
    missing = [name for name in _EXTRA_MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise SimulatorError(
            f"The simulator needs the extra `demo` ({', '.join(missing)} not found). Install it:"
            " pip install 'dstack-fleets-tui[demo]'"
        )
    find_ssh()


def _make_folder(asked: Path | None) -> Folder:
    # Of the system's temporary folders the one with the short name: sockets will lie in it.
    short = "/tmp" if os.access("/tmp", os.W_OK) else None
    made = Path(tempfile.mkdtemp(prefix="dsim-", dir=short)).resolve()
    if asked is None:
        return Folder(made, made / "tmp")
    return Folder(asked.resolve(), made)
