"""An emulated gateway: the registry and the statistics that dstack's server uses through a tunnel.

Its web server passes requests on. The statistics do not follow from those: how many a service gets
is set by a call, and dstack's own autoscaler does the rest. The replicas' load follows as well.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import asyncssh
from aiohttp import web

from dstack_simulator.hosts.channels import ProtocolFactory
from dstack_simulator.hosts.commands import CommandResult, gateway_commands
from dstack_simulator.hosts.gateway_web import ConnectToJob, GatewayWeb, Tunnel
from dstack_simulator.hosts.http import Routes, read_json
from dstack_simulator.hosts.machine import Machine
from dstack_simulator.hosts.network import Network
from dstack_simulator.hosts.specs import HostSpec
from dstack_simulator.hosts.sshd import AuthorizedKeys, SshListener
from dstack_simulator.hosts.traffic import WINDOWS, Traffic

_PROXY_PORT = 8000
_REQUEST_SECONDS = 0.35

SetRate = Callable[[str, "float | None"], None]
IsUp = Callable[[str], bool]


@dataclass
class GatewayService:
    """A service as the server registered it."""

    id: str | None
    project: str
    run_name: str
    domain: str
    https: bool
    auth: bool
    replicas: dict[str, Tunnel] = field(default_factory=dict)
    """The tunnels to the registered replicas, by the ids of their jobs."""
    traffic: Traffic = field(default_factory=Traffic)

    def stats(self) -> dict[str, dict[str, float]]:
        """Requests and their mean time, by window in seconds."""
        result = {}
        for window in WINDOWS:
            requests = self.traffic.requests(window)
            result[str(window)] = {
                "requests": requests,
                "request_time": _REQUEST_SECONDS if requests else 0.0,
            }
        return result


class EmulatedGateway(Machine):
    """A gateway that a dstack server connects to, configures and registers services with."""

    def __init__(
        self,
        spec: HostSpec,
        *,
        address: str,
        folder: Path,
        authorized_keys: Iterable[str],
        options: asyncssh.SSHServerConnectionOptions,
        set_rate: SetRate,
        is_up: IsUp,
        connect: ConnectToJob,
    ) -> None:
        self.spec = spec
        self.commands = gateway_commands()
        self.config: dict[str, Any] = {}
        self.entrypoints: set[str] = set()
        self._folder = folder
        self._services: dict[str, GatewayService] = {}
        self._set_rate = set_rate
        self._is_up = is_up
        self._connect = connect
        self._web = GatewayWeb(self._tunnels)
        self._keys = AuthorizedKeys(authorized_keys)
        self.network = Network(address)
        self._listener = SshListener(self, address, options)

    @property
    def services(self) -> Mapping[str, GatewayService]:
        """The registered services, by `project/run`."""
        return MappingProxyType(self._services)

    @property
    def web_address(self) -> str:
        """Where it takes requests to the domains of services."""
        return f"http://{self.address}:{self._web.port}"

    def set_rps(
        self, run_name: str, requests_per_second: float, *, for_seconds: float = 0.0
    ) -> None:
        """Sets how many requests a service gets.

        Args:
            run_name: The service's run name, or `project/run` where two projects have it.
            requests_per_second: The rate.
            for_seconds: For how long it has been so. The statistics are sums over 30, 60 and 300
                seconds, so a rate that begins now takes that long to show in full.

        Raises:
            LookupError: The service is not registered here.
            ValueError: The rate is negative.
        """
        if requests_per_second < 0:
            raise ValueError("A rate cannot be negative. Give 0 or more requests per second.")
        found = [
            service
            for key, service in self._services.items()
            if run_name in (key, service.run_name)
        ]
        if not found:
            raise LookupError(
                f"Service {run_name} is not registered with gateway {self.name}. "
                "Wait until it runs, or name another."
            )
        for service in found:
            service.traffic.set(requests_per_second, since=for_seconds)
            self.spread(service)

    def spread(self, service: GatewayService) -> None:
        """Gives each replica its part of the load."""
        for replica in service.replicas:
            self._set_rate(replica, service.traffic.rate / len(service.replicas))

    async def open(self) -> None:
        """Puts the gateway on the network."""
        self.network.open_in_process(_PROXY_PORT, _routes.serve(self))
        await self._listener.open()
        await self._web.open(self.address)

    async def close(self) -> None:
        """Takes the gateway off the network."""
        await self._listener.cut()
        self._web.close()
        await self.network.close()

    async def set_reachable(self, reachable: bool) -> None:
        """Cuts the gateway off, connections that are open included, or connects it again."""
        if reachable:
            await self._listener.open()
        else:
            await self._listener.cut()

    # The registry.

    def register(self, project: str, body: Mapping[str, Any]) -> None:
        """Takes a service.

        Raises:
            RegistryError: There is one of this name or domain.
        """
        run_name, domain = body["run_name"].lower(), body["domain"].lower()
        key = f"{project}/{run_name}"
        if key in self._services:
            raise RegistryError(f"Service {key} is already registered")
        if any(service.domain == domain for service in self._services.values()):
            raise RegistryError(f"Domain name {domain!r} is already taken by another service")
        self._services[key] = GatewayService(
            id=body.get("id"),
            project=project,
            run_name=run_name,
            domain=domain,
            https=body["https"],
            auth=body["auth"],
        )

    def find(self, project: str, run_name: str) -> GatewayService:
        """A registered service.

        Raises:
            RegistryError: It is not registered.
        """
        try:
            return self._services[f"{project}/{run_name}".lower()]
        except KeyError:
            raise RegistryError(f"Service {project}/{run_name} is not registered") from None

    def unregister(self, project: str, run_name: str) -> None:
        """Forgets a service.

        Raises:
            RegistryError: It is not registered.
        """
        service = self.find(project, run_name)
        for replica, tunnel in service.replicas.items():
            tunnel.close()
            self._set_rate(replica, None)
        del self._services[f"{service.project}/{service.run_name}"]

    def register_replica(self, service: GatewayService, job_id: str, port: int) -> None:
        """Takes a replica of a service, if it can be reached.

        Raises:
            RegistryError: It is there already, or it does not answer.
        """
        replica = str(uuid.UUID(job_id))
        if replica in service.replicas:
            raise RegistryError(f"Replica {job_id} already exists in service {service.run_name}")
        if not self._is_up(replica):
            raise RegistryError(f"Cannot register replica {job_id}: it cannot be connected to")
        service.replicas[replica] = Tunnel(replica, port, self._connect)
        self.spread(service)

    def unregister_replica(self, service: GatewayService, job_id: str) -> None:
        """Forgets a replica of a service.

        Raises:
            RegistryError: It is not registered.
        """
        replica = str(uuid.UUID(job_id))
        if replica not in service.replicas:
            raise RegistryError(f"Replica {job_id} does not exist in service {service.run_name}")
        service.replicas.pop(replica).close()
        self._set_rate(replica, None)
        self.spread(service)

    def _tunnels(self, domain: str) -> list[Tunnel]:
        found = (each for each in self._services.values() if each.domain == domain.lower())
        return [tunnel for service in found for tunnel in service.replicas.values()]

    # What commands and sshd ask.

    def take_out(self, job_id: str, *, is_last: bool) -> str:
        """Takes a replica's socket from nginx, if another one of its service is left to it.

        Returns:
            Whether it is `in` or `out` of the rotation, or `absent`, and its open requests.
        """
        replica = str(uuid.UUID(job_id))
        having = (each.replicas for each in self._services.values() if replica in each.replicas)
        tunnels = next(having, None)
        if tunnels is None:
            return "absent 0"
        own = tunnels[replica]
        if is_last or any(each.listens for each in tunnels.values() if each is not own):
            own.listens = False
        return f"{'in' if own.listens else 'out'} {own.open}"

    @property
    def files(self) -> Path:
        """The folder that stands for `/`."""
        return self._folder

    def accepts(self, key: asyncssh.SSHKey) -> bool:
        """Whether a key may log in."""
        return key in self._keys

    async def connect(self, port: int) -> ProtocolFactory:
        """What serves a port."""
        return await self.network.connect(port)

    async def connect_elsewhere(self, host: str, port: int) -> ProtocolFactory:
        """A gateway is not a jump host."""
        raise ConnectionRefusedError(f"{host}:{port} cannot be reached from a gateway")

    def run(self, command: str) -> CommandResult:
        """Runs a command line."""
        return self.commands.run(self, command)

    def connection_opened(self) -> None:
        """Logins to gateways are not counted."""

    def connection_closed(self) -> None:
        """Logins to gateways are not counted."""


class RegistryError(RuntimeError):
    """What the gateway answers with status 400."""


_routes: Routes[EmulatedGateway] = Routes()
_OK = {"status": "ok"}
_SERVICE = "/api/registry/{project}/services/{run}"


def _answer(action: Callable[[], None]) -> web.Response:
    try:
        action()
    except RegistryError as error:
        return web.json_response({"detail": str(error)}, status=400)
    return web.json_response(_OK)


@_routes.on("GET", "/")
async def _info(
    gateway: EmulatedGateway, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    return web.json_response({"service": "dstack-gateway"})


@_routes.on("POST", "/api/config")
async def _config(
    gateway: EmulatedGateway, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    gateway.config = await read_json(request)
    return web.json_response(_OK)


@_routes.on("GET", "/api/services/list")
async def _list_services(
    gateway: EmulatedGateway, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    services = [
        {
            "id": service.id,
            "project_name": service.project,
            "run_name": service.run_name,
            "replicas": [{"id": uuid.UUID(job_id).hex} for job_id in sorted(service.replicas)],
        }
        for service in gateway.services.values()
    ]
    return web.json_response({"services": services})


@_routes.on("GET", "/api/stats/collect")
async def _stats(
    gateway: EmulatedGateway, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    return web.json_response(
        [
            {
                "project_name": service.project,
                "run_name": service.run_name,
                "stats": service.stats(),
            }
            for service in gateway.services.values()
        ]
    )


@_routes.on("POST", "/api/registry/{project}/entrypoints/register")
async def _register_entrypoint(
    gateway: EmulatedGateway, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    body = await read_json(request)
    gateway.entrypoints.add(str(body["domain"]).lower())
    return web.json_response(_OK)


@_routes.on("POST", "/api/registry/{project}/services/register")
async def _register_service(
    gateway: EmulatedGateway, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    body = await read_json(request)
    return _answer(lambda: gateway.register(match["project"].lower(), body))


@_routes.on("POST", _SERVICE + "/unregister")
async def _unregister_service(
    gateway: EmulatedGateway, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    return _answer(lambda: gateway.unregister(match["project"], match["run"]))


@_routes.on("POST", _SERVICE + "/set_id")
async def _set_id(
    gateway: EmulatedGateway, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    body = await read_json(request)

    def set_id() -> None:
        service = gateway.find(match["project"], match["run"])
        if service.id is not None:
            raise RegistryError(f"Service {service.run_name} already has an ID")
        service.id = str(body["id"])

    return _answer(set_id)


@_routes.on("POST", _SERVICE + "/replicas/register")
async def _register_replica(
    gateway: EmulatedGateway, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    body = await read_json(request)
    return _answer(
        lambda: gateway.register_replica(
            gateway.find(match["project"], match["run"]),
            str(body["job_id"]),
            int(body["app_port"]),
        )
    )


@_routes.on("POST", _SERVICE + "/replicas/{job}/unregister")
async def _unregister_replica(
    gateway: EmulatedGateway, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    return _answer(
        lambda: gateway.unregister_replica(
            gateway.find(match["project"], match["run"]), match["job"]
        )
    )
