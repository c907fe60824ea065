"""Records the incident that is shipped: `python -m screenshots.recorded_incident`.

The cloud takes a spot instance back and has no other; a worker on a reserved host then fails its
health check. Some minutes later both are over.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path

from dstack_api_client.feed.feed import Feed
from dstack_api_client.model.replica import Replica
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.recordings.recorder import Recorder
from dstack_api_client.routers.watch import OverSsh, RouterWatch
from dstack_api_client.transport.client import Client
from dstack_fleets_tui.recorded import INCIDENT, path_of
from dstack_simulator import Simulator

#: The service, and its decode replicas, as the scenario says.
_SERVICE, _DECODING = "chat-70b", 5
#: Stands for the address of the server.
_ADDRESS = "http://127.0.0.1:3000"
#: Seconds between two polls, and that something may take.
_INTERVAL, _LIMIT = 2.0, 900.0
#: Seconds of each part of it that are recorded.
_BEFORE, _LACKING, _UNHEALTHY, _AFTER = 15.0, 45.0, 45.0, 15.0


class Recording:
    """A project that is recorded.

    Args:
        sim: The simulator.
        feed: The feed of its project.
        recorder: What writes it.
    """

    def __init__(self, sim: Simulator, feed: Feed, recorder: Recorder) -> None:
        self._sim = sim
        self._feed = feed
        self._recorder = recorder

    @property
    def snapshot(self) -> Snapshot:
        """The latest."""
        if self._feed.snapshot is None:
            raise AssertionError("nothing was read")
        return self._feed.snapshot

    async def poll(self, *, recorded: bool = True) -> None:
        """Polls once, with the service in front."""
        service = self._feed.snapshot and self._feed.snapshot.service_named(_SERVICE)
        self._feed.focus(opened_service=service.id if service else None)
        async for update in self._feed.poll():
            if recorded:
                self._recorder.take(self._feed, update)

    async def go_on(self, seconds: float) -> None:
        """Records so much."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await self.poll()
            await asyncio.sleep(_INTERVAL)

    async def until(self, ready: Callable[[], bool], what: str, *, recorded: bool = True) -> None:
        """Goes on until something is so.

        Raises:
            TimeoutError: It does not become so.
        """
        end = time.monotonic() + _LIMIT
        await self.poll(recorded=recorded)
        while not ready():
            if time.monotonic() > end:
                raise TimeoutError(f"There is no {what} after {_LIMIT:g} s.")
            await asyncio.sleep(_INTERVAL)
            await self.poll(recorded=recorded)

    def decoding(self, fleet: str = "") -> list[Replica]:
        """The decode replicas that are ready, of a fleet or all."""
        return [
            each
            for each in self.snapshot.replicas.values()
            if each.run_name == _SERVICE
            and each.group == "decode"
            and each.active
            and each.ready
            and fleet in (each.fleet_name or "")
        ]

    def _all_work(self) -> bool:
        views = self.snapshot.routers.values()
        listed = all(view.ready == view.expected and not view.awaited for view in views)
        return len(self.decoding()) == _DECODING and bool(views) and listed

    async def play(self) -> None:
        """The incident, from before it until it is over."""
        await self.until(self._all_work, "decode replicas", recorded=False)
        await self.go_on(_BEFORE)
        await self._sim.faults.no_capacity()
        lost = self.decoding("gpu-spot")[0]
        for instance in self.snapshot.instances.values():
            is_idle = instance.status == "idle" and not instance.unreachable
            if instance.fleet_name == "gpu-spot" and (is_idle or instance.id == lost.instance_id):
                await self._sim.faults.spot_interrupted(instance.name)
        await self.until(lambda: len(self.decoding()) < _DECODING, "lost replica")
        await self.go_on(_LACKING)
        sick = self.decoding("gpu-reserved")[0]
        await self._sim.faults.worker_unhealthy(sick.job_name)
        await self.go_on(_UNHEALTHY)
        await self._sim.faults.worker_unhealthy(sick.job_name, on=False)
        await self._sim.faults.no_capacity(on=False)
        await self.until(self._all_work, "way back")
        await self.go_on(_AFTER)


async def record(path: Path) -> None:
    """Records it on a simulator of its own."""
    async with (
        Simulator("lanes") as sim,
        Client(sim.url, sim.token) as client,
        RouterWatch(client, sim.project, over_ssh=OverSsh.NONE) as routers,
    ):
        await sim.settled()
        recorder = Recorder(path, project=sim.project, url=_ADDRESS, interval=_INTERVAL)
        feed = Feed(client, sim.project, routers=routers)
        await Recording(sim, feed, recorder).play()
        recorder.close()


def main(path: Path) -> int:
    """Records it in the place of the one that is there."""
    made = path.with_name(f"new-{path.name}")
    asyncio.run(record(made))
    made.chmod(0o644)
    made.replace(path)
    print(path.name, f"{path.stat().st_size / 1000:.0f} kB")  # noqa: T201 - it says what it made
    return 0


if __name__ == "__main__":
    sys.exit(main(path_of(INCIDENT)))
