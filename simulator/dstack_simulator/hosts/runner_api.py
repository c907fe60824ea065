"""The HTTP API of the runner, through which a server submits a job and follows it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from aiohttp import web

from dstack_simulator.hosts.http import Routes, read_json
from dstack_simulator.hosts.runner import Runner

_WORKING_DIR = "/dstack/run"


def serve_runner(runner: Runner) -> web.Server:
    """Makes the protocol factory of a runner's API."""
    return _routes.serve(runner)


_routes: Routes[Runner] = Routes()


@_routes.on("GET", "/api/healthcheck")
async def _healthcheck(
    runner: Runner, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    return web.json_response({"service": "dstack-runner", "version": runner.version})


@_routes.on("GET", "/api/metrics")
async def _metrics(
    runner: Runner, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    return web.json_response(runner.metrics())


@_routes.on("POST", "/api/submit")
async def _submit(
    runner: Runner, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    if runner.state not in ("new", "submitted"):
        return web.Response(status=409, text="A job is running already.")
    runner.submit(await read_json(request))
    return web.json_response({})


@_routes.on("POST", "/api/upload_archive", "/api/upload_code")
async def _upload(
    runner: Runner, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    if runner.state != "submitted":
        return web.Response(status=409, text="There is no job to upload files for.")
    # Read to the end and thrown away: nothing here runs them.
    async for _chunk in request.content.iter_any():
        pass
    return web.json_response({})


@_routes.on("POST", "/api/run")
async def _run(
    runner: Runner, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    if runner.state != "submitted":
        return web.Response(status=409, text="There is no job to run.")
    runner.start()
    return web.json_response({"working_dir": _WORKING_DIR, "username": "root"})


@_routes.on("GET", "/api/pull")
async def _pull(
    runner: Runner, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    timestamp = 0
    with contextlib.suppress(ValueError):
        timestamp = int(request.query.get("timestamp", "0"))
    return web.json_response(runner.pull(timestamp, runner.idle_seconds()))


@_routes.on("POST", "/api/stop")
async def _stop(
    runner: Runner, request: web.BaseRequest, match: Mapping[str, str]
) -> web.StreamResponse:
    runner.stop()
    return web.json_response({})
