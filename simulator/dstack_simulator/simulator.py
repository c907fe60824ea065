"""The handle of a running simulator, for tests and for the command line."""

from __future__ import annotations

import asyncio
import atexit
import copy
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
from typing import Any

import httpx

from dstack_simulator import scenario as scenarios
from dstack_simulator.control import ControlClient
from dstack_simulator.errors import (
    BUSY_TRIES,
    BUSY_WAIT,
    PortTakenError,
    SimulatorError,
    is_busy,
)
from dstack_simulator.faults import Faults
from dstack_simulator.folder import Folder, find_ssh, last_line

_EXTRA_MODULES = ("dstack", "fastapi", "boto3", "asyncssh", "aiohttp", "psutil", "smg")
_WORLD_LIMIT = 30.0
_END_LIMIT = 20.0
#: As long as SQLite lets a write wait on the server.
_STORING_LIMIT = 30.0


class Simulator:
    """A real dstack server on loopback, with emulated hosts and an emulated cloud.

    `async with Simulator("demo") as sim:` or `with Simulator("demo") as sim:` starts one, waits
    until its server answers, and leaves nothing behind. The handle belongs to no event loop.

    Attributes:
        url: The server's address, the first one's of several.
        urls: The addresses of all servers.
        token: Its administrator's token.
        project: The project that everything is in.
        faults: What can be made to go wrong.
        control: Calls the process that emulates what is around the server.
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
        token: str | None = None,
        start_limit: float = 60.0,
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
            token: The administrator's, which a database that is not new has already; a new one if
                None.
            start_limit: Seconds within which the server must answer.

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
        self.url = ""
        self.urls: list[str] = []
        self.token = token or secrets.token_hex(16)
        self.project = ""
        self.mark = secrets.token_hex(16)
        self.faults = Faults(self)
        self._port = port
        self._asked_folder = folder
        self._folder: Folder | None = None
        self._launcher = (*self.scenario.server.modules, *launcher)
        self._database = database
        self._servers = servers
        self._start_limit = start_limit
        self.control = ControlClient(secrets.token_hex(16))
        self._world: subprocess.Popen[bytes] | None = None
        self._server_ports: list[int] = []

    @property
    def folder(self) -> Folder:
        """Where this simulator keeps its files, among them the logs."""
        if self._folder is None:
            raise SimulatorError("The simulator has not been started. Start it first.")
        return self._folder

    @property
    def server_url(self) -> str:
        """The first server's own address, without the proxy before it: for measurements.

        It changes when the server is restarted.
        """
        return f"http://127.0.0.1:{self._server_ports[0]}"

    @property
    def environment(self) -> dict[str, str]:
        """What dstack's clients read to connect to this server."""
        return {
            "DSTACK_SERVER_URL": self.url,
            "DSTACK_TOKEN": self.token,
            "DSTACK_PROJECT": self.project,
        }

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
        """Waits until every server answers.

        Raises:
            SimulatorError: One did not start.
        """
        answer = self.control.call("world/ready", limit=self._ready_limit)
        self._server_ports = answer["server_ports"]

    async def ready(self) -> None:
        """As `wait_ready`, for code with an event loop."""
        answer = await self.control.acall("world/ready", limit=self._ready_limit)
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

    def processes(self) -> list[int]:
        """The ids of all living processes of this simulator."""
        from dstack_simulator.processes import marked

        return [process.pid for process in marked(self.mark)]

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

    async def settled(self) -> None:
        """Waits until the scenario is applied and looks as its file expects.

        Raises:
            SimulatorError: Something is missing after the scenario's own limit; says what.
        """
        await self.control.acall("world/settled", limit=self.scenario.limit + self._start_limit)

    def wait_settled(self) -> None:
        """As `settled`, for code without an event loop."""
        self.control.call("world/settled", limit=self.scenario.limit + self._start_limit)

    async def hosts(self) -> list[dict[str, Any]]:
        """The emulated hosts: name, kind, address, SSH port, jobs on them and their addresses."""
        hosts: list[dict[str, Any]] = await self.control.acall("world/hosts")
        return hosts

    async def gateway_services(self) -> list[str]:
        """The services that the emulated gateways know, as `project/run`."""
        services: list[str] = await self.control.acall("world/gateway_services")
        return services

    async def apply(self, configuration: str | dict[str, Any]) -> str:
        """Applies one of dstack's configurations, as another client would.

        Args:
            configuration: YAML, or what it holds. Hosts of an SSH fleet may be named by the
                names of emulated hosts.

        Returns:
            The name of what was applied.
        """
        name: str = await self.control.acall("world/apply", {"configuration": configuration})
        return name

    async def stop_run(self, name: str, *, abort: bool = False) -> None:
        """Stops a run."""
        await self.api("runs/stop", {"runs_names": [name], "abort": abort})

    async def delete_fleet(self, name: str) -> None:
        """Deletes a fleet."""
        await self.api("fleets/delete", {"names": [name]})

    async def touch_run(self, name: str, **changes: Any) -> dict[str, Any]:
        """Updates a run in place, as another client would, with the event that this emits.

        Args:
            name: The run.
            changes: Fields of its configuration; another priority if there are none.

        Returns:
            The run as it is then.

        Raises:
            SimulatorError: The server refused, or did not store it.
        """
        run = await self.run(name)
        spec = copy.deepcopy(run["run_spec"])
        configuration = spec["configuration"]
        configuration.update(changes or {"priority": (configuration["priority"] or 0) % 100 + 1})
        plan = await self.api("runs/get_plan", {"run_spec": spec})
        if plan["action"] != "update":
            raise SimulatorError(f"The run {name} can't be changed like this in place.")
        await self.api(
            "runs/apply",
            {
                "plan": {"run_spec": spec, "current_resource": plan["current_resource"]},
                "force": False,
            },
        )
        # The server ends the request's transaction after its answer.
        end = time.monotonic() + _STORING_LIMIT
        while (touched := await self.run(name))["deployment_num"] == run["deployment_num"]:
            if time.monotonic() > end:
                raise SimulatorError(
                    f"The change of the run {name} was not stored. See the server's log."
                )
            await asyncio.sleep(0.05)
        return touched

    async def run(self, name: str) -> dict[str, Any]:
        """A run as the server shows it."""
        run: dict[str, Any] = await self.api("runs/get", {"run_name": name})
        return run

    async def fleet(self, name: str) -> dict[str, Any]:
        """A fleet as the server shows it."""
        fleet: dict[str, Any] = await self.api("fleets/get", {"name": name})
        return fleet

    async def api(self, path: str, body: dict[str, Any] | None = None, *, server: int = 1) -> Any:
        """Calls a server's API: `/api/project/PROJECT/PATH`, or a path that begins with `/`.

        Raises:
            SimulatorError: The server refused.
        """
        if not path.startswith("/"):
            path = f"/api/project/{self.project}/{path}"
        async with self.client(server=server) as client:
            for _ in range(BUSY_TRIES):
                answer = await client.post(path, json=body or {})
                if not is_busy(answer.status_code, answer.text):
                    break
                await asyncio.sleep(BUSY_WAIT)
        if answer.status_code >= 400:
            raise SimulatorError(
                f"The server refused {path} with {answer.status_code}: {answer.text[:500]}"
            )
        return answer.json() if answer.content else None

    def client(self, *, server: int = 1) -> httpx.AsyncClient:
        """An HTTP client with a server's address and the administrator's token."""
        return httpx.AsyncClient(
            base_url=self.urls[server - 1],
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=180.0,
            trust_env=False,
            verify=False,
        )

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
        self.urls = answer["urls"]
        self.url = self.urls[0]
        self.project = answer["project"]
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
