"""Tunnels to replicas that stay open between looks: opening one starts a client of SSH."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx
from dstack._internal.server.models import JobModel
from dstack._internal.server.services.jobs.job_replica_http_client import (
    get_service_replica_client,
)

#: Seconds for which a tunnel stays open after its last use: longer than from one poll of a
#: dashboard to the next.
IDLE = 30.0
T = TypeVar("T")


class _Tunnel:
    """One tunnel, held open by a task of its own, which also closes it."""

    def __init__(self, job_model: JobModel) -> None:
        self.client: asyncio.Future[httpx.AsyncClient] = asyncio.get_running_loop().create_future()
        self._users = 0
        self._left = asyncio.Event()
        self.closing = False
        self.held = asyncio.create_task(self._hold(job_model))

    async def use(self, ask: Callable[[httpx.AsyncClient], Awaitable[T]]) -> T:
        self._users += 1
        try:
            return await ask(await asyncio.shield(self.client))
        finally:
            self._users -= 1
            self._left.set()

    def give_up(self) -> None:
        """Closes it: what went wrong may be the tunnel."""
        self.closing = True
        self._left.set()

    async def _hold(self, job_model: JobModel) -> None:
        try:
            async with get_service_replica_client(job_model) as client:
                self.client.set_result(client)
                while not self.closing:
                    self._left.clear()
                    try:
                        await asyncio.wait_for(self._left.wait(), IDLE)
                    except asyncio.TimeoutError:
                        self.closing = not self._users
        except Exception as error:  # it is for those who wait for the client
            if self.client.done():
                raise
            self.client.set_exception(error)


class ReplicaTunnels:
    """Open tunnels, by the replica's job."""

    def __init__(self) -> None:
        self._open: dict[uuid.UUID, _Tunnel] = {}

    async def ask(self, job_model: JobModel, ask: Callable[[httpx.AsyncClient], Awaitable[T]]) -> T:
        """Asks a replica through its tunnel, and once more through a new one if an old one broke.

        Args:
            job_model: The replica's running job, with its project, its instance and that one's
                project loaded.
            ask: Sends the requests.

        Raises:
            SSHError: No tunnel can be opened.
            httpx.HTTPError: The replica did not answer.
        """
        old = self._open.get(job_model.id)
        if old is not None and not old.closing:
            try:
                return await old.use(ask)
            except httpx.TimeoutException:
                # The replica had its time.
                self._close(job_model.id, old)
                raise
            except httpx.TransportError:
                self._close(job_model.id, old)
        tunnel = self._opened(job_model)
        try:
            return await tunnel.use(ask)
        except BaseException:
            self._close(job_model.id, tunnel)
            raise

    def _opened(self, job_model: JobModel) -> _Tunnel:
        tunnel = self._open.get(job_model.id)
        if tunnel is None or tunnel.closing:
            opened = tunnel = _Tunnel(job_model)
            self._open[job_model.id] = opened
            opened.held.add_done_callback(lambda _: self._forget(job_model.id, opened))
        return tunnel

    def _close(self, job: uuid.UUID, tunnel: _Tunnel) -> None:
        self._forget(job, tunnel)
        tunnel.give_up()

    def _forget(self, job: uuid.UUID, tunnel: _Tunnel) -> None:
        # Another may have taken its place meanwhile.
        if self._open.get(job) is tunnel:
            del self._open[job]
