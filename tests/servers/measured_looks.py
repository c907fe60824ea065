"""Run in a process of its own: what a look of the add-on at a run adds to dstack's own.

`python -m tests.servers.measured_looks FOLDER ROUNDS REPLICAS...` writes JSON, with an entry for
each number of replicas: of one service that has what it should, its fleets and their instances.
"""

# ruff: noqa: E402
from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
import uuid
from typing import Any

from dstack_placement.server.compat import schema

schema.install()

from dstack._internal.core.models.instances import InstanceStatus
from dstack._internal.server.background.pipeline_tasks import runs as pipeline
from dstack._internal.server.background.pipeline_tasks.runs import active
from dstack._internal.server.db import Database, get_session_ctx
from dstack._internal.server.models import InstanceModel, JobModel, RunModel
from dstack._internal.server.testing import common
from dstack._internal.utils.common import get_current_datetime
from sqlalchemy import insert

from dstack_placement.server.base import tables
from dstack_placement.server.compat import overrides
from tests.servers.guarded_runs import made
from tests.servers.stored_runs import World

#: Instances of each fleet, all busy but some.
INSTANCES = {"near": 200, "far": 195}
_SPARE = 11


async def _fill(world: World, replicas: int) -> RunModel:
    """A service in two lanes whose replicas all run."""
    lanes = [{"name": "near", "min_replicas": 1, "priority": 1}, "far"]
    probes = [{"type": "http", "url": "/health"}]
    run = await world.run(
        "chat", fleets=lanes, counts={"0": replicas}, replicas=replicas, probes=probes
    )
    near = world.in_fleet("near")
    first = await world.job(run, 0, **near, ready=True, registered=True)
    await _copied(
        world, first, JobModel, [{"replica_num": number} for number in range(1, replicas)]
    )
    for name, count in INSTANCES.items():
        fleet = world.fleets[name]
        one = await common.create_instance(
            world.session, world.project, fleet=fleet, status=InstanceStatus.BUSY
        )
        others = [
            {
                "name": f"{name}-{number}",
                "instance_num": number,
                "status": InstanceStatus.IDLE if number <= _SPARE else InstanceStatus.BUSY,
            }
            for number in range(1, count)
        ]
        await _copied(world, one, InstanceModel, others)
    jobs = (await world.session.execute(JobModel.__table__.select())).all()
    row = {
        "run_id": run.id,
        "fleet": "near",
        "fleet_id": world.fleets["near"].id,
        "reason": "priority",
        "why": "first by priority",
        "since": get_current_datetime(),
        "outcome": "started",
    }
    await world.session.execute(
        insert(tables.PlacementRow.__table__), [{**row, "job_id": job.id} for job in jobs]
    )
    run.lock_token = uuid.uuid4()
    await world.session.commit()
    return run


async def _copied(world: World, like: Any, model: Any, changes: list[dict[str, Any]]) -> None:
    known = vars(like)
    columns = {c.name: known[c.key] for c in model.__table__.columns if c.key in known}
    if changes:
        await world.session.execute(
            insert(model.__table__),
            [{**columns, "id": uuid.uuid4(), **change} for change in changes],
        )
        await world.session.commit()


async def _context(run: RunModel) -> active.ActiveContext:
    """dstack's context of the run, read as its pipeline reads it."""
    item: Any = type("Item", (), {"id": run.id, "lock_token": run.lock_token})
    async with get_session_ctx() as session:
        model = await pipeline._refetch_locked_run_for_active(session, item)
        assert model is not None
    return active.ActiveContext(model, pipeline.get_run_spec(model), {}, set())


async def _measure(folder: str, rounds: int, replicas: int) -> dict[str, float]:
    """Milliseconds of processor time, medians, and what the looks with the add-on ask."""
    url = f"sqlite+aiosqlite:///{folder}/{replicas}.sqlite"
    stock = active.process_active_run
    looks = {"stock": stock, "with the add-on": overrides._active_run(stock)}
    lists = overrides._replica_lists(active.build_replica_lists)
    analysis = overrides._replica_analysis(active._analyze_active_run_replica)
    took: dict[str, list[float]] = {name: [] for name in looks}
    async with made(Database(url)) as session:
        run = await _fill(await World(session).make(), replicas)
        own = (active.build_replica_lists, active._analyze_active_run_replica)
        for _ in range(rounds + 1):
            for name, look in looks.items():
                context = await _context(run)
                if look is not stock:
                    active.build_replica_lists = lists
                    active._analyze_active_run_replica = analysis
                begun = time.process_time()
                result = await look(context)
                took[name].append((time.process_time() - begun) * 1000)
                active.build_replica_lists, active._analyze_active_run_replica = own
                assert not result.new_job_models
                assert not result.job_id_to_update_map
    # The first look is the one that finds nothing known yet.
    return {name: statistics.median(times[1:]) for name, times in took.items()}


def main(folder: str, rounds: str, *replicas: str) -> list[dict[str, float]]:
    """What looks at a service of so many replicas cost, with databases in a folder."""
    return [asyncio.run(_measure(folder, int(rounds), int(many))) for many in replicas]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:])))
