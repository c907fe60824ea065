"""Where a router is looked at from: the server, or this machine over SSH."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from dstack_api_client.model.replica import Login, Replica
from dstack_api_client.model.router import Source
from dstack_api_client.model.service import Service
from dstack_api_client.private_folder import PrivateFolder
from dstack_api_client.routers.logging_in import attached_way, own_key
from dstack_api_client.routers.observation import Look, Outcome, listed, of_server
from dstack_api_client.routers.ssh import (
    UnsafeNameError,
    Way,
    last_words,
    way_by_key,
)
from dstack_api_client.routers.tunnel import SlowError, Tunnel, TunnelError
from dstack_api_client.text import clean_json, one_line
from dstack_api_client.transport import wire_addon
from dstack_api_client.transport.client import Client

#: Seconds until a new way must have brought an answer, and one that is there.
_FIRST_LIMIT, _LIMIT = 15.0, 5.0
_workers = msgspec.json.Decoder(wire_addon.RouterWorkers)


async def look_through_server(client: Client, project: str, service: Service) -> Look:
    """Has the placement add-on of the server look.

    Raises:
        ApiError: The server could not be asked.
    """
    return of_server(await client.placements.router(project, service.name))


class SshSource:
    """Looks at routers over SSH, each over a way of its own that is kept open.

    Args:
        client: Where the user's key is asked for.
        program: OpenSSH's client.
        folder: Where keys are written while a way is opened; the user's runtime folder if None.
        attached: dstack's own SSH configuration; that in the user's home if None.
        now: The clock.
        monotonic: A clock for durations.
    """

    def __init__(
        self,
        client: Client,
        *,
        program: str = "ssh",
        folder: Path | None = None,
        attached: Path | None = None,
        now: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._program = program
        self._parent = folder
        self._attached = attached
        self._folder: PrivateFolder | None = None
        self._now = now
        self._monotonic = monotonic
        self._tunnels: dict[str, tuple[str, Tunnel]] = {}
        self._number = 0

    @property
    def ways(self) -> list[str]:
        """Ids of the services whose routers can be asked, the least recently asked first."""
        return list(self._tunnels)

    @property
    def pids(self) -> list[int]:
        """Ids of the processes."""
        return [tunnel.pid for _, tunnel in self._tunnels.values()]

    async def look(self, service: Service, router: Replica) -> Look:
        """Looks at a router once.

        Args:
            service: Whose router it is.
            router: The replica that routes, which runs.
        """
        began = self._monotonic()
        known = self._tunnels.pop(service.id, None)
        if known is not None and (known[0] != router.submission_id or known[1].ended):
            await known[1].close()
            known = None
        if known is not None:
            tunnel = known[1]
            try:
                return await self._ask(service.id, router, tunnel, _LIMIT, began)
            except SlowError:
                return self._failed(
                    Outcome.DOWN, f"The router has not answered for {_LIMIT:g} s over SSH."
                )
            except TunnelError:
                pass  # the connection was closed, as when a router restarts: a new one tells more
        return await self._look_anew(service, router, began)

    async def close(self, *services: str) -> None:
        """Ends the ways to the routers of some services, or all of them, and removes every key."""
        ended = [self._tunnels.pop(key) for key in services or self.ways if key in self._tunnels]
        await asyncio.gather(*(tunnel.close() for _, tunnel in ended))
        if not services and self._folder is not None:
            self._folder.close()
            self._folder = None

    async def _look_anew(self, service: Service, router: Replica, began: float) -> Look:
        if shutil.which(self._program) is None:
            return self._failed(
                Outcome.UNKNOWN,
                f"{self._program} is not installed on this machine, and the server has no"
                " placement add-on. Install the OpenSSH client.",
            )
        login = router.login
        if login is None:
            return self._failed(
                Outcome.UNKNOWN, "The server does not say yet how to reach the router's host."
            )
        reasons: list[str] = []
        for open_way in (self._open_by_key, self._open_by_alias):
            found = await open_way(service, router, login)
            if isinstance(found, str):
                reasons.append(found)
                continue
            tunnel, key = found
            try:
                return await self._ask(service.id, router, tunnel, _FIRST_LIMIT, began)
            except SlowError:
                reasons.append(f"SSH brought no answer within {_FIRST_LIMIT:g} s")
            except TunnelError as error:
                if error.nothing_listens:
                    return self._failed(
                        Outcome.DOWN,
                        f"Nothing listens on port {login.port} of the router's container: the"
                        " router's process has not started, or has ended. Look at its log.",
                    )
                reasons.append(f"SSH to the router's host failed: {last_words(error.lines)}")
            finally:
                if key is not None and self._folder is not None:
                    self._folder.remove(key, f"{key}.config")
        said = ". ".join(reason for reason in reasons if reason)
        return self._failed(
            Outcome.UNKNOWN,
            f"{said}. Ask for the placement add-on on the server, or check that ssh gets there.",
        )

    async def _open_by_key(
        self, service: Service, router: Replica, login: Login
    ) -> tuple[Tunnel, str | None] | str:
        """Opens the way that the server reports, with the user's key from it; or says why not."""
        text, why = await own_key(self._client, login, service.name, service.user)
        if why:
            return why
        if self._folder is None:
            self._folder = PrivateFolder(self._parent)
        self._number += 1
        name = f"key-{self._number}"
        key = self._folder.write(name, text)
        try:
            way = way_by_key(login, key)
        except UnsafeNameError as error:
            self._folder.remove(name)
            return f"The SSH address of the router's host can't be used: {str(error).rstrip('.')}"
        config = self._folder.write(f"{name}.config", way.config or "")
        return await self._start(way, config), name

    async def _open_by_alias(
        self, service: Service, router: Replica, login: Login
    ) -> tuple[Tunnel, str | None] | str:
        """Opens the way that `dstack attach` wrote down, while it runs."""
        found = attached_way(router, login, self._attached)
        if found is None:
            return ""  # nothing is attached, or not by that name
        return await self._start(*found), None

    async def _start(self, way: Way, config: Path | None) -> Tunnel:
        return await Tunnel.open([self._program, *way.arguments(config)])

    async def _ask(
        self, run_id: str, router: Replica, tunnel: Tunnel, limit: float, began: float
    ) -> Look:
        """Asks over a way, and keeps it when it brought an answer."""
        try:
            status, body = await tunnel.get("/workers", limit=limit)
            ready = await self._readiness(tunnel) if status == 200 else None
        except BaseException:
            await asyncio.shield(tunnel.close())
            raise
        self._tunnels[run_id] = (router.submission_id, tunnel)
        if status in (401, 403):
            return self._failed(Outcome.REFUSED, "")
        try:
            if status != 200:
                raise msgspec.DecodeError(f"HTTP {status}")
            workers = _workers.decode(clean_json(body)).workers
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            return self._failed(
                Outcome.UNKNOWN,
                "What answers as the router gave no list of workers:"
                f" {one_line(str(error))[:200]}. Look at its log.",
            )
        return Look(
            source=Source.SSH,
            outcome=Outcome.LISTED,
            observed_at=self._now(),
            workers=listed(workers),
            ready=ready,
            size=len(body),
            seconds=self._monotonic() - began,
        )

    async def _readiness(self, tunnel: Tunnel) -> bool | None:
        with contextlib.suppress(SlowError):
            status, _ = await tunnel.get("/readiness", limit=_LIMIT)
            return {200: True, 503: False}.get(status)
        return None

    def _failed(self, outcome: Outcome, message: str) -> Look:
        return Look(Source.SSH, outcome, self._now(), message)
