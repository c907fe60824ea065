"""One project of a running simulator: what tests and the command line do with it."""

from __future__ import annotations

import asyncio
import copy
import time
from pathlib import Path
from typing import Any

import httpx

from dstack_simulator.errors import BUSY_TRIES, BUSY_WAIT, SimulatorError, is_busy
from dstack_simulator.folder import Folder
from dstack_simulator.handle.control import ControlClient
from dstack_simulator.handle.faults import Faults
from dstack_simulator.scenarios import scenario as scenarios

#: As long as SQLite lets a write wait on the server.
_STORING_LIMIT = 30.0


class Handle:
    """Reaches a project of a simulator's servers, and what is around it.

    It belongs to no event loop, and any process of this machine may have one.

    Attributes:
        url: The server's address, the first one's of several.
        urls: The addresses of all servers.
        token: Its administrator's token.
        project: The project that everything is in.
        mark: Carried by every process of the simulator.
        faults: What can be made to go wrong.
        control: Calls the process that emulates what is around the server.
    """

    def __init__(
        self, *, token: str, mark: str, control: ControlClient, limit: float = 600.0
    ) -> None:
        """Reaches nothing yet.

        Args:
            token: The administrator's.
            mark: The simulator's.
            control: Not yet led to the control API.
            limit: Seconds within which the scenario must be there.
        """
        self.url = ""
        self.urls: list[str] = []
        self.token = token
        self.project = ""
        self.mark = mark
        self.control = control
        self.faults = Faults(self._ask, self.ready)
        self._limit = limit
        self._folder: Folder | None = None
        self._server_ports: list[int] = []

    @classmethod
    def attached(cls, state: dict[str, Any]) -> Handle:
        """A handle of a simulator that another process has started, made of its `state`."""
        control = ControlClient(state["control_token"])
        control.url = state["control_url"]
        made = cls(token=state["token"], mark=state["mark"], control=control, limit=state["limit"])
        made._folder = Folder(Path(state["folder"]), Path(state["temporary"]))
        made._server_ports = state["server_ports"]
        made._lead_to(state["urls"], state["project"])
        return made

    @property
    def state(self) -> dict[str, Any]:
        """What `attached` makes a handle of, as JSON has it."""
        return {
            "urls": self.urls,
            "token": self.token,
            "project": self.project,
            "mark": self.mark,
            "limit": self._limit,
            "control_url": self.control.url,
            "control_token": self.control.token,
            "folder": str(self.folder.root),
            "temporary": str(self.folder.temporary),
            "server_ports": self._server_ports,
        }

    @property
    def folder(self) -> Folder:
        """Where the simulator keeps its files, among them the logs."""
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

    async def add_project(self, name: str, scenario: scenarios.Scenario) -> Handle:
        """Makes another project on the same servers, and begins to apply a scenario to it.

        It has hosts, a cloud and addresses of the servers of its own, so that no fault but the end
        of a server is shared. The options of the server, `pace` and `seed` are the simulator's.

        Args:
            name: The project's.
            scenario: What exists and what is applied.

        Raises:
            SimulatorError: There is such a project.
        """
        body = {"name": name, "scenario": scenario.model_dump(mode="json", by_alias=True)}
        answer = await self.control.acall("world/add_project", body)
        return Handle.attached({**self.state, **answer, "limit": scenario.limit})

    async def settled(self) -> None:
        """Waits until the scenario is applied and looks as its file expects.

        Raises:
            SimulatorError: Something is missing after the scenario's own limit; says what.
        """
        await self._ask("site/settled", limit=self._limit)

    def wait_settled(self) -> None:
        """As `settled`, for code without an event loop."""
        self.control.call(f"{self.project}/site/settled", limit=self._limit)

    async def hosts(self) -> list[dict[str, Any]]:
        """The emulated hosts: name, kind, address, SSH port, jobs on them and their addresses."""
        hosts: list[dict[str, Any]] = await self._ask("site/hosts")
        return hosts

    async def requests(self, replica: str | None = None) -> list[dict[str, Any]]:
        """What became of the requests to emulated engines, those of ended ones too.

        Args:
            replica: A job's name or id, or a run's name; all if None.

        Returns:
            By engine its job, and counts: `open`, `answered`, `cut`, `abandoned`, `refused`.
        """
        tallies: list[dict[str, Any]] = await self._ask("site/requests", {"replica": replica})
        return tallies

    async def gateway_services(self) -> list[str]:
        """The services that the emulated gateways know, as `project/run`."""
        services: list[str] = await self._ask("site/gateway_services")
        return services

    async def gateway_addresses(self) -> list[str]:
        """Where the emulated gateways take requests, with the service's domain as their host."""
        addresses: list[str] = await self._ask("site/gateway_addresses")
        return addresses

    async def apply(self, configuration: str | dict[str, Any]) -> str:
        """Applies one of dstack's configurations, as another client would.

        Args:
            configuration: YAML, or what it holds. Hosts of an SSH fleet may be named by the
                names of emulated hosts.

        Returns:
            The name of what was applied.
        """
        name: str = await self._ask("site/apply", {"configuration": configuration})
        return name

    async def stop_run(self, name: str) -> None:
        """Stops a run."""
        await self.api("runs/stop", {"runs_names": [name], "abort": False})

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
            raise SimulatorError(
                f"Run {name} can't be changed like this in place. Submit it again."
            )
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

    def processes(self) -> list[int]:
        """The ids of all living processes of this simulator."""
        from dstack_simulator.processes import marked

        return [process.pid for process in marked(self.mark)]

    async def ready(self) -> None:
        """Waits until every server answers.

        Raises:
            SimulatorError: One did not start.
        """
        answer = await self.control.acall("world/ready", limit=self._ready_limit)
        self._server_ports = answer["server_ports"]

    async def _ask(
        self, what: str, body: dict[str, Any] | None = None, *, limit: float = 60.0
    ) -> Any:
        """Makes a call about this project."""
        return await self.control.acall(f"{self.project}/{what}", body, limit=limit)

    @property
    def _ready_limit(self) -> float:
        return self._limit

    def _lead_to(self, urls: list[str], project: str) -> None:
        self.urls = urls
        self.url = urls[0]
        self.project = project
