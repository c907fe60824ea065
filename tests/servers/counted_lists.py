"""Run in a process of its own: counts the statements and the time of a list of many services.

`python -m tests.servers.counted_lists FOLDER REPLICAS SERVICES...` writes JSON, with an entry for
each number of services.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from datetime import timedelta
from typing import Any

from dstack_placement.server.compat import schema

schema.install()

from dstack._internal.core.models.backends.base import BackendType  # noqa: E402
from dstack._internal.core.models.configurations import ServiceConfiguration  # noqa: E402
from dstack._internal.core.models.runs import JobStatus, RunStatus  # noqa: E402
from dstack._internal.proxy.gateway.schemas.stats import Stat  # noqa: E402
from dstack._internal.server.db import Database  # noqa: E402
from dstack._internal.server.models import BaseModel, ProjectModel  # noqa: E402
from dstack._internal.server.services import encryption  # noqa: E402, F401
from dstack._internal.server.services.gateways.pool import gateway_connections_pool  # noqa: E402
from dstack._internal.server.testing import common  # noqa: E402
from dstack._internal.utils.common import get_current_datetime  # noqa: E402
from sqlalchemy import event  # noqa: E402

from dstack_placement.server.answers import answers  # noqa: E402
from dstack_placement.server.base import tables  # noqa: E402
from dstack_placement.server.fleets import editions  # noqa: E402
from dstack_placement.server.runs import specs  # noqa: E402
from dstack_placement.server.view import listing  # noqa: E402


class _Connection:
    """What dstack has read from a machine of a gateway: requests to the first service."""

    def __init__(self, address: str, requests: int, request_time: float) -> None:
        self.ip_address = address
        counted = {60: Stat(requests=requests, request_time=request_time)}
        self.stats = {("test_project", "service-0"): counted}


async def _add_gateway(session: Any, project: Any) -> Any:
    """A gateway of two machines, one of them as older releases of dstack kept it."""
    backend = await common.create_backend(session, project.id, BackendType.AWS)
    gateway = await common.create_gateway(session, project.id, backend.id)
    await common.create_gateway_replica(session, backend, gateway.id, "10.9.0.1")
    older = await common.create_gateway_replica(session, backend, None, "10.9.0.2")
    gateway.gateway_replica_id = older.id
    for connection in (_Connection("10.9.0.1", 100, 0.2), _Connection("10.9.0.2", 20, 0.8)):
        known: Any = gateway_connections_pool._connections
        known[connection.ip_address] = connection
    return gateway


async def _fill(session: Any, services: int, replicas: int) -> Any:
    now = get_current_datetime()
    user = await common.create_user(session)
    project = await common.create_project(session, owner=user)
    repo = await common.create_repo(session, project_id=project.id)
    near = await common.create_fleet(session, project, name="near")
    gateway = await _add_gateway(session, project)
    configuration = ServiceConfiguration.model_validate(
        {
            "type": "service",
            "port": 8000,
            "commands": ["serve"],
            "replicas": replicas,
            "fleets": [{"name": "near", "min_replicas": 1}, "far"],
        }
    )
    for number in range(services):
        name = f"service-{number}"
        spec = common.get_run_spec(repo.name, run_name=name, configuration=configuration)
        run = await common.create_run(
            session,
            project,
            repo,
            user,
            run_name=name,
            status=RunStatus.RUNNING,
            run_spec=spec,
            gateway=gateway,
        )
        for replica in range(replicas):
            job = await common.create_job(
                session, run, replica_num=replica, status=JobStatus.SUBMITTED
            )
            pending = replica == 0
            session.add(
                tables.PlacementRow(
                    job_id=job.id,
                    run_id=run.id,
                    fleet=None if pending else "far",
                    fleet_id=None if pending else uuid.uuid4(),
                    reason="pending" if pending else "fallback",
                    why="no room",
                    since=now,
                )
            )
        at = {"run_id": run.id, "pool": "", "fleet": "near", "since": now}
        session.add(tables.DeficitRow(**at, missing=1, why="baseline 0 of 1"))
        session.add(tables.UnreachableRow(**at, line="Fleet near is skipped"))
        session.add(tables.RebalanceRow(run_id=run.id, since=now, edition="", left=2))
        cools = {"failures": 1, "until": now + timedelta(minutes=1), "cause": "no capacity"}
        lanes = specs.lanes_of(spec, project.name)
        assert lanes is not None
        edition = editions.editions_of(lanes, {"near": near})["", "near"]
        session.add(tables.CooldownRow(**at, **cools, edition=edition))
        edited = {**at, "fleet": "far", "edition": "of lanes that were edited since"}
        session.add(tables.CooldownRow(**edited, **cools))
    await session.commit()
    return project.id


async def _measure(folder: str, services: int, replicas: int) -> dict[str, Any]:
    database = Database(f"sqlite+aiosqlite:///{folder}/{services}.sqlite")
    async with database.engine.begin() as connection:
        await connection.run_sync(BaseModel.metadata.create_all)
        await connection.run_sync(tables.Base.metadata.create_all)
    async with database.get_session() as session:
        project_id = await _fill(session, services, replicas)
    statements: list[str] = []

    @event.listens_for(database.engine.sync_engine, "before_cursor_execute")
    def _count(connection: Any, cursor: Any, statement: str, *others: Any) -> None:
        statements.append(statement)

    seconds = []
    for _ in range(3):
        statements.clear()
        async with database.get_session() as session:
            project = await session.get_one(ProjectModel, project_id)
            begun = time.perf_counter()
            found = await listing.placements(session, project, answers.ListRequest())
            seconds.append(time.perf_counter() - begun)
    await database.engine.dispose()
    return {
        "statements": len(statements),
        "seconds": seconds,
        "runs": [json.loads(run.model_dump_json()) for run in found.runs],
        "traffic": [json.loads(each.model_dump_json()) for each in found.traffic],
    }


def main(folder: str, replicas: str, *services: str) -> list[dict[str, Any]]:
    """What lists of so many services cost, with databases in a folder."""
    return [asyncio.run(_measure(folder, int(many), int(replicas))) for many in services]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:])))
