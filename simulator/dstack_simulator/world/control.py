"""The control API: what the simulator's handle and the emulated cloud's backend call."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from dstack_simulator.errors import SimulatorError
from dstack_simulator.world.site import Site

Call = Callable[..., Awaitable[Any]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Control:
    """Serves the control API on a free port of loopback.

    Args:
        sites: The projects, by name.
        calls: What the world itself does, by name.
        token: What a caller has to know.
    """

    def __init__(self, sites: Mapping[str, Site], calls: Mapping[str, Call], token: str) -> None:
        self._sites = sites
        self._calls = calls
        self._token = token
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def open(self) -> None:
        """Starts to listen."""
        app = web.Application(middlewares=[self._guard])
        app.router.add_post("/world/{what}", self._of_world)
        app.router.add_post("/{project}/cloud/{what}", self._cloud)
        app.router.add_post("/{project}/site/{what}", self._of_site)
        app.router.add_post("/{project}/faults/{what}", self._fault)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def close(self) -> None:
        """Stops listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            return web.json_response({"error": "Not authorized."}, status=403)
        try:
            return await handler(request)
        except SimulatorError as error:
            return web.json_response({"error": str(error)}, status=409)
        except TypeError as error:
            # Arguments of a fault that don't fit: the caller's mistake, said by its name.
            return web.json_response({"error": str(error)}, status=422)

    async def _cloud(self, request: web.Request) -> web.StreamResponse:
        return await self._call(request, self._site(request).cloud.calls())

    async def _of_site(self, request: web.Request) -> web.StreamResponse:
        return await self._call(request, self._site(request).calls())

    async def _of_world(self, request: web.Request) -> web.StreamResponse:
        return await self._call(request, self._calls)

    async def _fault(self, request: web.Request) -> web.StreamResponse:
        return await self._call(request, self._site(request).faults.calls())

    def _site(self, request: web.Request) -> Site:
        name = request.match_info["project"]
        site = self._sites.get(name)
        if site is None:
            raise SimulatorError(f"The simulator has no project {name}. Add it first.")
        return site

    async def _call(self, request: web.Request, calls: Mapping[str, Call]) -> web.StreamResponse:
        what = request.match_info["what"]
        call = calls.get(what)
        if call is None:
            return web.json_response({"error": f"There is no call {what}."}, status=404)
        body: dict[str, Any] = await request.json()
        return web.json_response(await call(**body))
