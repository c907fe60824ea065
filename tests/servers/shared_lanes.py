"""Services that share fleets, and what is in the database of the servers that place them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from dstack_simulator.handle.handle import Handle
from tests.servers.many_replicas import Lane, Query

_PRIORITIES = (0, 0, 5, 10, 20)


@dataclass(frozen=True)
class Want:
    """What a service is told to be.

    Attributes:
        replicas: How many it has.
        lanes: Its lanes by the names of their fleets, in order.
    """

    replicas: int
    lanes: Mapping[str, Lane]

    @property
    def written(self) -> dict[str, Any]:
        """The fields of the service's configuration."""
        fleets = [lane.written(name) for name, lane in self.lanes.items()]
        return {"replicas": self.replicas, "fleets": fleets}

    @property
    def promised(self) -> int:
        """The sum of the minimums."""
        return sum(lane.least for lane in self.lanes.values())

    @classmethod
    def stored(cls, run: dict[str, Any], fleets: Mapping[str, Lane]) -> Want:
        """What a server has stored of a run.

        Args:
            run: The run as the server shows it.
            fleets: The fleets that there are.
        """
        configuration = run["run_spec"]["configuration"]
        replicas = configuration["replicas"]
        lanes = {}
        for lane in configuration["fleets"]:
            fleet = fleets[lane["name"]]
            lanes[lane["name"]] = Lane(
                hosts=fleet.hosts,
                blocks=fleet.blocks,
                least=lane.get("min_replicas") or 0,
                most=lane.get("max_replicas"),
                priority=lane.get("priority") or 0,
            )
        return cls(replicas["min"] if isinstance(replicas, dict) else replicas, lanes)

    def changed(self, random: Random, kind: str, most: int) -> Want:
        """Another one, which its lanes can be held with.

        Args:
            random: Where chance comes from.
            kind: What is changed: `scale`, `priorities` or `minimums`.
            most: How many replicas it may have.
        """
        if kind == "scale":
            counts = [n for n in range(max(self.promised, 1), most + 1) if n != self.replicas]
            return Want(random.choice(counts or [self.replicas]), self.lanes)
        lanes = {}
        left = self.replicas
        names = list(self.lanes)
        for name in random.sample(names, len(names)):
            lane = self.lanes[name]
            least, maximum, priority = lane.least, lane.most, lane.priority
            if kind == "priorities":
                priority = random.choice(_PRIORITIES)
            else:
                least = random.randint(0, min(left, 3))
                left -= least
                # One lane is without, so that there is one for whatever number of replicas.
                if name != names[-1]:
                    maximum = random.choice((None, None, max(least, random.randint(1, lane.room))))
            lanes[name] = Lane(lane.hosts, least, maximum, priority, lane.blocks)
        return Want(self.replicas, {name: lanes[name] for name in names})


#: All jobs of runs that have not ended, with their instances and what was chosen for them.
_JOBS = """\
    SELECT run.run_name AS run, job.job_name AS name, job.replica_num AS number,
        job.submission_num AS submission, upper(job.status) AS status,
        instance.name AS instance, fleet.name AS fleet, placement.fleet AS chosen,
        placement.reason AS reason, placement.outcome AS outcome
    FROM jobs AS job
    JOIN runs AS run ON run.id = job.run_id
    LEFT JOIN instances AS instance ON instance.id = job.instance_id
    LEFT JOIN fleets AS fleet ON fleet.id = job.fleet_id
    LEFT JOIN dstack_fleets_placements AS placement ON placement.job_id = job.id
    WHERE upper(job.status) NOT IN ('TERMINATED', 'ABORTED', 'FAILED', 'DONE')
    ORDER BY run.run_name, job.replica_num
"""
_INSTANCES = """\
    SELECT instance.name, fleet.name AS fleet, instance.total_blocks AS total,
        instance.busy_blocks AS busy
    FROM instances AS instance JOIN fleets AS fleet ON fleet.id = instance.fleet_id
    WHERE NOT instance.deleted
"""
_DEFICITS = """\
    SELECT run.run_name AS run, deficit.fleet FROM dstack_fleets_deficits AS deficit
    JOIN runs AS run ON run.id = deficit.run_id
"""
_REBALANCES = """\
    SELECT run.run_name AS run FROM dstack_fleets_rebalances AS rebalance
    JOIN runs AS run ON run.id = rebalance.run_id
"""
_COOLDOWNS = """\
    SELECT run.run_name AS run, cooldown.fleet, cooldown.failures, cooldown.cause,
        cooldown.until::text AS until
    FROM dstack_fleets_cooldowns AS cooldown JOIN runs AS run ON run.id = cooldown.run_id
    WHERE cooldown.until > now() AT TIME ZONE 'UTC'
"""
#: When a server last worked on runs, and on replicas that do not run yet or any more, and what
#: holds others from it.
_HELD = """\
    SELECT run_name AS name, status::text AS status, last_processed_at::text AS looked,
        lock_expires_at::text AS locked, lock_owner AS by, now()::text AS now
    FROM runs WHERE NOT deleted
    UNION ALL
    SELECT job_name, status::text, last_processed_at::text, lock_expires_at::text, lock_owner,
        now()::text
    FROM jobs
    WHERE upper(status::text) IN ('SUBMITTED', 'PROVISIONING', 'PULLING', 'TERMINATING')
"""
#: Of a replica that has ended, what is said of it.
_ENDED = """\
    SELECT job.job_name AS name, job.termination_reason AS reason,
        job.termination_reason_message AS message, fleet.name AS fleet
    FROM jobs AS job LEFT JOIN fleets AS fleet ON fleet.id = job.fleet_id
    WHERE upper(job.status) IN ('TERMINATING', 'TERMINATED', 'ABORTED', 'FAILED', 'DONE')
    ORDER BY job.last_processed_at DESC LIMIT 6
"""


@dataclass
class Service:
    """A service that is looked at.

    Attributes:
        want: What it is told to be.
        floors: By lane how many replicas no placing may take away: its minimum, while that was
            held when the round began.
        placed: By lane how many replicas have an instance, at the last look.
        running: How many of them run.
    """

    want: Want
    floors: dict[str, int] = field(default_factory=dict)
    placed: Counter[str] = field(default_factory=Counter)
    running: Counter[str] = field(default_factory=Counter)


class SharedWatch:
    """Looks at services that share fleets, and checks what must hold at every moment.

    Attributes:
        services: The services by name.
        looks: How often it was looked.
        on_the_way: How many replicas started or ended at the last look.
    """

    def __init__(self, sim: Handle, query: Query, wants: Mapping[str, Want]) -> None:
        self.services = {name: Service(want) for name, want in wants.items()}
        self.looks = 0
        self.on_the_way = 0
        self.query = query
        self._sim = sim
        self._jobs: list[Any] = []
        self._containers: Counter[str] = Counter()

    async def look(self) -> None:
        """One look.

        Raises:
            AssertionError: Something does not hold.
        """
        hosts = await self._sim.hosts()
        self._containers = Counter(job for host in hosts for job in host["jobs"])
        self._jobs = await self.query(_JOBS)
        self.looks += 1
        active = [job for job in self._jobs if job["status"] != "TERMINATING"]
        self.on_the_way = sum(job["status"] != "RUNNING" for job in self._jobs)
        numbers = Counter((job["run"], job["number"]) for job in active)
        _nothing([at for at, count in numbers.items() if count > 1], "are there twice")
        _nothing(self._doubled(), "have two containers")
        on_instances = Counter(job["instance"] for job in self._jobs if job["instance"])
        for instance in await self.query(_INSTANCES):
            name, total = instance["name"], instance["total"] or 1
            assert on_instances[name] <= total, f"{on_instances[name]} on {name} of {total} blocks"
            assert 0 <= instance["busy"] <= total, dict(instance)
        elsewhere = [
            dict(job) for job in active if job["instance"] and job["fleet"] != job["chosen"]
        ]
        _nothing(elsewhere, "are not where they were placed")
        others = [dict(job) for job in active if job["reason"] in ("other-server", "own-rule")]
        _nothing(others, "were placed without the add-on")
        for name, service in self.services.items():
            own = [job for job in active if job["run"] == name and job["instance"]]
            service.placed = Counter(job["fleet"] for job in own)
            service.running = Counter(job["fleet"] for job in own if job["status"] == "RUNNING")
            broken = [
                f"{fleet}: {service.running[fleet]} run of {floor}"
                for fleet, floor in service.floors.items()
                if service.running[fleet] < floor
            ]
            if broken:
                ended = [dict(row) for row in await self.query(_ENDED)]
                raise AssertionError(f"{name}: minimums are broken: {broken}; ended: {ended}")

    def begin(self, name: str, want: Want) -> None:
        """A service is about to be told something: no minimum of before and after may break."""
        for other, service in self.services.items():
            now = want if other == name else service.want
            service.floors = {
                fleet: min(lane.least, now.lanes[fleet].least)
                for fleet, lane in service.want.lanes.items()
                if service.running[fleet] >= lane.least
            }

    async def unsettled(self) -> list[str]:
        """What is not as it has to be in the end; one look."""
        await self.look()
        instances = await self.query(_INSTANCES)
        free = Counter[str]()
        for instance in instances:
            free[instance["fleet"]] += (instance["total"] or 1) - instance["busy"]
        deficits = {(row["run"], row["fleet"]) for row in await self.query(_DEFICITS)}
        found = [f"{row['run']} is rebalancing" for row in await self.query(_REBALANCES)]
        found += self._of_jobs(instances)
        for name, service in self.services.items():
            found += _of_service(name, service, self._jobs, free)
            short = {
                (name, fleet)
                for fleet, lane in service.want.lanes.items()
                if service.running[fleet] < lane.least
            }
            told = {at for at in deficits if at[0] == name}
            if short != told:
                found.append(f"short: {sorted(short)}, deficits: {sorted(told)}")
        return found

    async def cooling(self) -> list[dict[str, Any]]:
        """The lanes that are skipped now, since starts failed there."""
        return [dict(row) for row in await self.query(_COOLDOWNS)]

    async def held(self) -> list[dict[str, Any]]:
        """When servers last worked on what is not settled, and what holds them from it."""
        return [dict(row) for row in await self.query(_HELD)]

    def _doubled(self) -> Iterable[str]:
        """Jobs of the first submission of a replica of which there is more than one container."""
        first = {job["name"] for job in self._jobs if job["submission"] == 0}
        return [name for name in first if self._containers[name] > 1]

    def _of_jobs(self, instances: list[Any]) -> Iterator[str]:
        running = Counter(job["name"] for job in self._jobs if job["status"] == "RUNNING")
        if self._containers != running:
            yield f"containers {self._containers - running}, jobs {running - self._containers}"
        taken = Counter(job["instance"] for job in self._jobs if job["instance"])
        for instance in instances:
            if taken[instance["name"]] != instance["busy"]:
                yield f"{instance['name']} has {taken[instance['name']]}, not {instance['busy']}"
        for job in self._jobs:
            if job["status"] == "RUNNING" and job["outcome"] != "started":
                yield f"{job['name']} runs, its placement says {job['outcome']}"


def _of_service(name: str, service: Service, jobs: list[Any], free: Counter[str]) -> Iterator[str]:
    own = [job for job in jobs if job["run"] == name]
    want = service.want
    if len(own) != want.replicas:
        yield f"{name} has {len(own)} of {want.replicas}"
    statuses = Counter(job["status"] for job in own)
    waiting = statuses.pop("SUBMITTED", 0)
    if set(statuses) - {"RUNNING"}:
        yield f"{name}: {dict(statuses)}"
    for fleet, lane in want.lanes.items():
        there = service.running[fleet]
        more = lane.most is None or there < lane.most
        if waiting and more and free[fleet]:
            yield f"{name}: {waiting} wait, {fleet} has {free[fleet]}"
        if there < lane.least and free[fleet]:
            yield f"{name}: {fleet} is short by {lane.least - there} and has {free[fleet]}"
        if lane.most is not None and there > lane.most and _elsewhere(service, fleet, free):
            yield f"{name}: {fleet} has {there}, more than {lane.most}"


def _elsewhere(service: Service, fleet: str, free: Counter[str]) -> bool:
    """Whether another lane takes a replica."""
    return any(
        free[name] and (lane.most is None or service.running[name] < lane.most)
        for name, lane in service.want.lanes.items()
        if name != fleet
    )


def _nothing(found: Iterable[object], what: str) -> None:
    listed = list(found)
    assert not listed, f"{listed} {what}"
