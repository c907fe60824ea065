"""The shim of an emulated host: the HTTP API through which a server runs containers on it."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

from aiohttp import web

from dstack_simulator.hosts.container import Container, TaskRequest
from dstack_simulator.hosts.http import Routes, read_json
from dstack_simulator.hosts.specs import GpuSpec

SHIM_PORT = 10998
HealthLevel = Literal["healthy", "warning", "failure"]
_DCGM_RESULT: Mapping[HealthLevel, int] = {"healthy": 0, "warning": 10, "failure": 20}
_DRIVERS: Mapping[str, str] = {"nvidia": "570.133.20", "amd": "6.12.12"}
# DCGM's numbers for a GPU as the entity, its memory as the system, and a double-bit error.
_DCGM_GPU_GROUP, _DCGM_MEMORY_SYSTEM, _DCGM_DOUBLE_BIT_ERROR = 1, 0x10, 4


class Shim:
    """Tasks, health and components of one host."""

    def __init__(
        self,
        gpu: GpuSpec | None,
        *,
        version: str,
        make_container: Callable[[TaskRequest], Container],
        forget_container: Callable[[Container], Awaitable[None]],
    ) -> None:
        self.version = version
        self.tasks: dict[str, Container] = {}
        self.health: HealthLevel = "healthy"
        self.health_message = ""
        self._gpu = gpu
        self._components = {"dstack-runner": version, "dstack-shim": version}
        self._make_container = make_container
        self._forget_container = forget_container

    def serve(self) -> web.Server:
        """Makes the protocol factory of the shim's API."""
        return _routes.serve(self)

    def health_check(self) -> str:
        """The answer that says that the shim is there."""
        return json.dumps({"service": "dstack-shim", "version": self.version})

    def submit(self, request: TaskRequest) -> bool:
        """Takes a task; false when there is one of this id."""
        if request.id in self.tasks:
            return False
        container = self._make_container(request)
        self.tasks[request.id] = container
        container.start()
        return True

    async def remove(self, task_id: str) -> bool:
        """Forgets a task that is terminated; false when it is not."""
        container = self.tasks[task_id]
        if container.status != "terminated":
            return False
        del self.tasks[task_id]
        await self._forget_container(container)
        return True

    def dcgm(self) -> dict[str, Any] | None:
        """What DCGM says about the accelerators; only NVIDIA's have it."""
        if self._gpu is None or self._gpu.vendor != "nvidia":
            return None
        incidents = []
        if self.health != "healthy":
            incidents.append(
                {
                    "system": _DCGM_MEMORY_SYSTEM,
                    "health": _DCGM_RESULT[self.health],
                    "error_message": self.health_message,
                    "error_code": _DCGM_DOUBLE_BIT_ERROR,
                    "entity_group_id": _DCGM_GPU_GROUP,
                    "entity_id": 0,
                }
            )
        return {"overall_health": _DCGM_RESULT[self.health], "incidents": incidents}

    def info(self) -> dict[str, Any]:
        """The host's GPU driver."""
        if self._gpu is None:
            return {}
        return {
            "gpu_vendor": self._gpu.vendor,
            "gpu_driver_version": _DRIVERS.get(self._gpu.vendor, "1.0.0"),
        }

    def components(self) -> dict[str, Any]:
        """What is installed."""
        return {
            "components": [
                {"name": name, "version": version, "status": "installed"}
                for name, version in self._components.items()
            ]
        }

    def install(self, name: str, url: str) -> None:
        """Installs a version of a component, which the address names."""
        match = re.search(r"/(\d+\.\d+\.\d+[^/]*)/", url)
        if match is not None and name in self._components:
            self._components[name] = match[1]

    def restart(self) -> None:
        """Comes back in the version that is installed; containers go on."""
        self.version = self._components["dstack-shim"]


def _task_json(container: Container) -> dict[str, Any]:
    return {
        "id": container.job_id,
        "status": container.status,
        "termination_reason": container.termination_reason,
        "termination_message": container.termination_message,
        "ports": [{"host": host, "container": inside} for inside, host in container.ports.items()],
        "image_pull_progress": container.pull_progress(),
    }


_routes: Routes[Shim] = Routes()


def _find(shim: Shim, match: Mapping[str, str]) -> Container:
    try:
        return shim.tasks[match["id"]]
    except KeyError:
        raise web.HTTPNotFound(text="The task is not found.") from None


@_routes.on("GET", "/api/healthcheck")
async def _healthcheck(
    shim: Shim, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    return web.Response(text=shim.health_check(), content_type="application/json")


@_routes.on("GET", "/api/instance/health")
async def _instance_health(
    shim: Shim, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    return web.json_response({"dcgm": shim.dcgm()})


@_routes.on("GET", "/api/instance/info")
async def _instance_info(
    shim: Shim, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    return web.json_response(shim.info())


@_routes.on("GET", "/api/components")
async def _components(
    shim: Shim, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    return web.json_response(shim.components())


@_routes.on("POST", "/api/components/install")
async def _install(
    shim: Shim, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    body = await read_json(request)
    shim.install(str(body.get("name")), str(body.get("url")))
    return web.json_response({})


@_routes.on("POST", "/api/shutdown")
async def _shutdown(
    shim: Shim, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    shim.restart()
    return web.json_response({})


@_routes.on("GET", "/api/tasks")
async def _list_tasks(
    shim: Shim, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    tasks = [{"id": task.job_id, "status": task.status} for task in shim.tasks.values()]
    return web.json_response({"tasks": tasks})


@_routes.on("POST", "/api/tasks")
async def _submit_task(
    shim: Shim, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    try:
        task = TaskRequest.from_json(await read_json(request))
    except KeyError as error:
        raise web.HTTPBadRequest(text=f"The task has no {error}. Send the whole task.") from error
    if not shim.submit(task):
        raise web.HTTPConflict(text="There is a task of this id already.")
    return web.json_response({})


@_routes.on("GET", "/api/tasks/{id}")
async def _get_task(
    shim: Shim, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    return web.json_response(_task_json(_find(shim, match)))


@_routes.on("POST", "/api/tasks/{id}/terminate")
async def _terminate_task(
    shim: Shim, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    body = await read_json(request)
    container = _find(shim, match)
    await container.terminate(
        str(body.get("termination_reason", "")), str(body.get("termination_message", ""))
    )
    return web.json_response({})


@_routes.on("POST", "/api/tasks/{id}/remove")
async def _remove_task(
    shim: Shim, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    _find(shim, match)
    if not await shim.remove(match["id"]):
        raise web.HTTPConflict(text="The task is not terminated. Terminate it first.")
    return web.json_response({})


@_routes.on("GET", "/metrics/tasks/{id}")
async def _task_metrics(
    shim: Shim, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    raise web.HTTPNotFound(text="This host has no metrics exporter.")
