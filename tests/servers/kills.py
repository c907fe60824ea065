"""A story in rounds: something is done to a service, and meanwhile something happens to servers."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

from dstack_placement.engine.cooldown import LONGEST
from dstack_simulator.errors import SimulatorError
from dstack_simulator.handle.handle import Handle
from tests.servers.lanes import update
from tests.servers.many_replicas import Lane
from tests.servers.shared_lanes import SharedWatch, Want
from tests.waiting import until

SERVERS = (1, 2)

#: What is done to a service; what comes more often stands here more often.
_KINDS = ("scale", "scale", "scale", "priorities", "minimums", "minimums", "rebalance", "undo")
#: Looks between the request, or its first effect, and what happens then: on average and at most.
_LOOKS, _MOST_LOOKS = 4, 30
#: Most looks that are spent on waiting for a first effect.
_PATIENCE = 20
#: The part of rounds in which that is waited for.
_UNDER_WAY = 0.7
#: The part of requests that are not waited for before it happens.
_EARLY = 0.2

#: How many times servers are killed in a round, one as soon as the one before answers again.
_KILLS = (1, 1, 2, 3)

#: Seconds that a server takes to start at most: on a busy machine minutes.
START_LIMIT = 200.0
#: How often a lane cools down before what is to be is given up: a start that a killed server left
#: is a failed one, and on a busy machine others are too late.
_COOLDOWNS = 3

#: What happens meanwhile; returns what ends it.
Disturb = Callable[[], Awaitable[Callable[[], Awaitable[None]]]]


def say(line: str) -> None:
    """Prints a line for whoever plays the rounds again."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Story:
    """Services on two servers.

    Attributes:
        sim: The simulator, whose first server is asked.
        second: The same, whose second server is asked.
        watch: What looks at the services.
        counts: How many rounds there were of each kind.
    """

    def __init__(
        self, sim: Handle, watch: SharedWatch, fleets: Mapping[str, Lane], most: Mapping[str, int]
    ) -> None:
        """Begins with services that run.

        Args:
            sim: The simulator.
            watch: What looks at the services.
            fleets: The fleets that they share.
            most: The greatest number of replicas, by service.
        """
        self.sim = sim
        self.watch = watch
        self.counts: Counter[str] = Counter()
        self.second = Handle.attached({**sim.state, "urls": list(reversed(sim.urls))})
        self._servers = {1: sim, 2: self.second}
        self._fleets = fleets
        self._most = most
        self._before = {name: one.want for name, one in watch.services.items()}

    async def killed(self, chance: random.Random) -> None:
        """A round in which servers are killed, and started again."""
        first, *others = [chance.choice(SERVERS) for _ in range(chance.choice(_KILLS))]

        async def kill() -> Callable[[], Awaitable[None]]:
            await self._kill(first)

            async def start() -> None:
                await self._start(first)
                for victim in others:
                    await self._kill(victim)
                    await self._start(victim)

            return start

        then = "".join(f", then {victim}" for victim in others)
        await self.disturbed(chance, kill, f"server {first} is killed{then}", asks=3 - first)

    async def _start(self, server: int) -> None:
        await self.sim.faults.server_start(server=server, limit=START_LIMIT + 30)

    async def _kill(self, server: int) -> None:
        await self.sim.faults.server_end(server=server, graceful=False)
        self.counts["kills"] += 1

    async def disturbed(
        self, chance: random.Random, disturb: Disturb, what: str, *, asks: int
    ) -> None:
        """A round.

        Args:
            chance: Where chance comes from.
            disturb: What happens meanwhile.
            what: The same in words.
            asks: The server that is asked afterwards what is stored.
        """
        name = chance.choice(list(self.watch.services))
        kind, want = self._chosen(chance, name)
        by = chance.choice(SERVERS)
        early = chance.random() < _EARLY
        under_way = chance.random() < _UNDER_WAY
        looks = min(int(chance.expovariate(1 / _LOOKS)), _MOST_LOOKS)
        when = "begun" if early else "answered"
        after = f"{looks} looks{' under way' if under_way else ''}"
        say(f"{name}: {kind}, {when} by server {by}; {what} after {after}; {want.written}")
        self.watch.begin(name, want)
        asked = asyncio.create_task(self._ask(name, kind, want, by))
        if not early:
            await asked
        await self._look(looks, under_way)
        self.counts.update(["rounds", kind, when])
        self.counts["while replicas start or end"] += self.watch.on_the_way > 0
        ended = asyncio.create_task((await disturb())())
        # Of a request whose server is gone, nobody knows whether it was done.
        await asyncio.gather(asked, return_exceptions=early)
        await self._until_over(ended)
        now = Want.stored(await self._servers[asks].run(name), self._fleets)
        one = self.watch.services[name]
        if now != one.want:
            self._before[name], one.want = one.want, now
        await self.settled()

    async def settled(self, limit: float = 120.0) -> None:
        """Waits until everything is as it has to be; while a lane cools down, that is not yet."""
        left: list[str] = []

        async def rests() -> bool:
            nonlocal left
            left = await self.watch.unsettled()
            return not left

        async def none_cools() -> bool:
            return await rests() or not await self.watch.cooling()

        for _ in range(_COOLDOWNS):
            try:
                await until(rests, limit=limit, every=0.2, what="everything is settled")
            except AssertionError as error:
                cooling = await self.watch.cooling()
                if not cooling:
                    held = await self.watch.held()
                    raise AssertionError(f"{error}; {left}; {held}") from None
                say(f"{left}; these cool down: {cooling}")
            else:
                return
            await until(none_cools, limit=LONGEST.total_seconds(), every=1.0, what="no cooldown")
        raise AssertionError(f"lanes cooled down again and again; {left}")

    async def all_answer(self) -> None:
        """Waits until each server has its database."""
        name = next(iter(self.watch.services))

        async def answer() -> bool:
            try:
                for server in self._servers.values():
                    await server.run(name)
            except SimulatorError:
                return False
            return True

        await until(answer, limit=60, every=0.2, what="all servers answer")

    def _chosen(self, chance: random.Random, name: str) -> tuple[str, Want]:
        want = self.watch.services[name].want
        kind = chance.choice(_KINDS)
        if kind == "undo":
            return kind, self._before[name]
        if kind == "rebalance":
            return kind, want
        return kind, want.changed(chance, kind, self._most[name])

    async def _ask(self, name: str, kind: str, want: Want, by: int) -> None:
        server = self._servers[by]
        if kind == "rebalance":
            await server.api("placement/rebalance", {"run_name": name})
        elif want != self.watch.services[name].want:
            await update(server, name, **want.written)

    async def _look(self, times: int, under_way: bool) -> None:
        waits = _PATIENCE if under_way else 0
        left = times

        async def looked() -> bool:
            nonlocal waits, left
            if not waits and not left:
                return True
            await self.watch.look()
            if waits and not self.watch.on_the_way:
                waits -= 1
            elif left:
                waits, left = 0, left - 1
            else:
                waits = 0
            return False

        await until(looked, limit=120, every=0.1, what=f"{times} looks")

    async def _until_over(self, ended: asyncio.Task[None]) -> None:
        async def over() -> bool:
            await self.watch.look()
            return ended.done()

        try:
            await until(over, limit=START_LIMIT, every=0.1, what="it is over")
        finally:
            await ended
