"""The faults that the handle of a simulator can set."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal


class Faults:
    """What can be made to go wrong.

    A host is named by its name in the scenario; it, like every cloud instance, also by the name
    the server shows or by the cloud's id. Of several servers, one is named by its number from 1;
    without it the first is meant. A replica is named by its job's name (`chat-0-0`), by its
    job's id, or by its run's name for all replicas of it.

    Args:
        ask: Makes a call of the control API, of this project.
        ready: Waits until the servers answer.
    """

    def __init__(
        self, ask: Callable[..., Awaitable[Any]], ready: Callable[[], Awaitable[None]]
    ) -> None:
        self._ask = ask
        self._ready = ready

    async def host_unreachable(self, host: str) -> None:
        """Cuts a host off the network."""
        await self._set("host_unreachable", host=host)

    async def host_back(self, host: str) -> None:
        """Lets a host be reached again."""
        await self._set("host_back", host=host)

    async def host_health(
        self, host: str, health: Literal["healthy", "warning", "failure"], message: str = ""
    ) -> None:
        """Sets what the health check of a host's accelerators finds."""
        await self._set("host_health", host=host, health=health, message=message)

    async def spot_interrupted(self, instance: str) -> str:
        """Takes a spot instance back; returns the cloud's id of it."""
        instance_id: str = await self._set("spot_interrupted", instance=instance)
        return instance_id

    async def no_capacity(self, region: str | None = None, *, on: bool = True) -> None:
        """Takes away or gives back the capacity of a region, or of every one."""
        await self._set("no_capacity", region=region, on=on)

    async def slow_start(self, seconds: float) -> None:
        """Makes instances, containers and engines take longer to start.

        Those that start already wait with the others, and go on once it is 0 again.
        """
        await self._set("slow_start", seconds=seconds)

    async def slow_tokens(self, seconds: float) -> None:
        """Makes answers of engines that begin from now on take so long in all; 0 ends it.

        The tokens of a stream come evenly over that time, the last one at its end.
        """
        await self._set("slow_tokens", seconds=seconds)

    async def worker_unhealthy(self, replica: str, *, on: bool = True) -> None:
        """Makes a replica's inference worker fail its health check, or recover."""
        await self._set("worker_unhealthy", replica=replica, on=on)

    async def worker_crash(self, replica: str, *, exit_status: int = 1) -> None:
        """Ends a replica's process as a crash would."""
        await self._set("worker_crash", replica=replica, exit_status=exit_status)

    async def container_fails(self, replica: str, *, message: str = "") -> None:
        """Ends a replica's container from outside, as when its host can't create it."""
        await self._set("container_fails", replica=replica, message=message)

    async def worker_walled_off(self, replica: str, *, on: bool = True) -> None:
        """Keeps the router from dialling a replica, which the server still reaches; or no longer.

        This is what fleets without a network in common look like.
        """
        await self._set("worker_walled_off", replica=replica, on=on)

    async def router_restart(self, replica: str) -> None:
        """Kills a service's router, which starts again and has forgotten its workers."""
        await self._set("router_restart", replica=replica)

    async def router_frozen(self, replica: str, *, on: bool = True) -> None:
        """Lets a service's router answer nothing, or go on."""
        await self._set("router_frozen", replica=replica, on=on)

    async def server_restart(self, *, graceful: bool = True, server: int = 1) -> None:
        """Ends a server, or kills it, and starts it again; its address stays the same."""
        await self._set("server_restart", limit=180, graceful=graceful, server=server)
        await self._ready()

    async def server_end(self, *, graceful: bool = True, server: int = 1) -> None:
        """Ends a server, or kills it."""
        await self._set("server_end", graceful=graceful, server=server)

    async def server_start(self, *, server: int = 1, limit: float = 180.0) -> None:
        """Starts a server that has been ended, and waits until it answers.

        Args:
            server: Its number.
            limit: Seconds that it takes at most.
        """
        await self._set("server_start", limit=limit, server=server)
        await self._ready()

    async def server_slow(self, seconds: float, *, server: int = 1) -> None:
        """Holds every answer of a server back; 0 ends it."""
        await self._set("server_slow", seconds=seconds, server=server)

    async def server_cut(self, *, on: bool = True, server: int = 1) -> None:
        """Cuts every connection to a server and refuses new ones, or lets them through."""
        await self._set("server_cut", on=on, server=server)

    async def set_rps(self, service: str, rps: float) -> None:
        """Sets the requests per second that the gateway reports for a service."""
        await self._set("set_rps", service=service, rps=rps)

    async def _set(self, fault: str, *, limit: float = 60.0, **arguments: Any) -> Any:
        return await self._ask(f"faults/{fault}", arguments, limit=limit)
