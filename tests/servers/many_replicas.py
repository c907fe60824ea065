"""Services of many replicas on hosts that are shared by several, and what is in the database."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from dstack_simulator.handle.handle import Handle
from dstack_simulator.scenarios.scenario import Scenario
from tests.waiting import until

_BLOCKS = 8

#: For how long a lane is kept for a replica that no server has in hand.
_KEPT = timedelta(seconds=60)


@dataclass(frozen=True)
class Lane:
    """A fleet of hosts, and what a service asks of it.

    Attributes:
        hosts: How many hosts it has.
        least: The lane's minimum.
        most: Its maximum; None for no other than its room.
        blocks: How many accelerators a host has, each a block.
    """

    hosts: int
    least: int = 0
    most: int | None = None
    priority: int = 0
    blocks: int = _BLOCKS

    @property
    def room(self) -> int:
        return self.hosts * self.blocks

    def written(self, name: str) -> dict[str, Any]:
        """The lane as a service has it."""
        whole = {
            "name": name,
            "min_replicas": self.least,
            "max_replicas": self.most,
            "priority": self.priority,
        }
        return {key: value for key, value in whole.items() if value is not None}


Lanes = Mapping[str, Lane]


def scenario(lanes: Lanes, **environment: str) -> Scenario:
    """The fleets of lanes, all of whose hosts are idle."""
    hosts = []
    fleets = []
    for name, lane in lanes.items():
        gpu = {"name": "H100", "memory_gib": 80, "count": lane.blocks}
        machines = {"name": name, "count": lane.hosts, "cpus": 192, "memory_gib": 2048, "gpu": gpu}
        hosts.append(machines)
        named = [f"{name}-{number}" for number in range(1, lane.hosts + 1)]
        ssh = {"hosts": [{"hostname": host, "blocks": lane.blocks} for host in named]}
        fleets.append({"apply": {"type": "fleet", "name": name, "ssh_config": ssh}})
    idle = {name: {"instances": {"idle": lane.hosts}} for name, lane in lanes.items()}
    return Scenario.model_validate(
        {
            "description": "Fleets of hosts that several replicas share",
            "hosts": hosts,
            "steps": fleets,
            "expect": {"fleets": idle},
            "timing": {"pulling": 0, "creating": 0, "loading": 0, "stopping": 0},
            "server": {
                "environment": {"PYTHONPATH": str(Path(__file__).parents[2]), **environment}
            },
        }
    )


#: A replica of a run that has not ended: its number, its status, the fleet that it has an instance
#: in, and the lane that is kept for it while it has none.
REPLICAS = """\
    SELECT job.replica_num, upper(job.status) AS status, fleet.name AS fleet,
        CASE WHEN NOT job.instance_assigned AND (
            placement.since > '{recently}' OR job.lock_expires_at > '{now}'
        ) THEN placement.fleet END AS kept
    FROM jobs AS job
    JOIN runs AS run ON run.id = job.run_id
    LEFT JOIN fleets AS fleet ON fleet.id = job.fleet_id
    LEFT JOIN dstack_fleets_placements AS placement ON placement.job_id = job.id
    WHERE run.run_name = '{run}'
        AND upper(job.status) NOT IN ('TERMINATING', 'TERMINATED', 'ABORTED', 'FAILED', 'DONE')
"""

#: Answers the rows of a query, all of one moment.
Query = Callable[[str], Awaitable[list[Any]]]


def reading(sim: Handle) -> Query:
    """Asks a simulator's SQLite database itself, also while its server is not there."""
    database = f"file:{sim.folder.server / 'data' / 'sqlite.db'}?mode=ro"

    async def query(text: str) -> list[Any]:
        with closing(sqlite3.connect(database, uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute(text).fetchall()

    return query


class Watch:
    """Looks at the replicas of a run again and again, and checks what must hold at every moment."""

    def __init__(self, query: Query, run: str, lanes: Lanes) -> None:
        self.query = query
        self._run = run
        self._lanes = lanes
        self.looks = 0
        self.placed: Counter[str] = Counter()
        self.running: Counter[str] = Counter()

    async def look(self) -> list[Any]:
        """One look; returns the replicas."""
        now = datetime.now(timezone.utc).replace(tzinfo=None)
        recently = now - _KEPT
        rows = await self.query(REPLICAS.format(run=self._run, now=now, recently=recently))
        self.looks += 1
        self.placed = Counter(row["fleet"] for row in rows if row["fleet"] is not None)
        self.running = Counter(row["fleet"] for row in rows if row["status"] == "RUNNING")
        numbers = [row["replica_num"] for row in rows]
        assert len(numbers) == len(set(numbers)), f"replicas are there twice: {sorted(numbers)}"
        for name, lane in self._lanes.items():
            most = lane.room if lane.most is None else min(lane.most, lane.room)
            assert self.placed[name] <= most, f"{name} has more than {most}: {self.placed}"
        given = self.placed + Counter(row["kept"] for row in rows if row["kept"] is not None)
        short = [name for name, lane in self._lanes.items() if given[name] < lane.least]
        over = [name for name, lane in self._lanes.items() if given[name] > lane.least]
        assert not (short and over), f"{over} have more than their minimum, {short} less: {given}"
        return rows

    async def settled(
        self, expected: Mapping[str, int], *, running: bool = True, limit: float = 240.0
    ) -> None:
        """Waits until so many replicas are in each lane, and there are no others.

        Args:
            expected: How many replicas by lane.
            running: Whether they must run; else that they have an instance is enough.
            limit: Seconds to wait.
        """
        want = Counter(expected)

        async def there() -> bool:
            rows = await self.look()
            everywhere = self.running if running else self.placed
            return everywhere == want and len(rows) == sum(want.values())

        try:
            await until(there, limit=limit, every=0.2, what="all are in their lanes")
        except AssertionError as error:
            if "not within" not in str(error):
                raise
            raise AssertionError(
                f"{error}: {dict(self.placed)} are placed, {dict(self.running)} run,"
                f" not {dict(want)}"
            ) from None


async def containers(sim: Handle, run: str) -> Counter[str]:
    """How many containers there are of each job of a run, over all hosts."""
    return Counter(
        job for host in await sim.hosts() for job in host["jobs"] if job.startswith(f"{run}-")
    )
