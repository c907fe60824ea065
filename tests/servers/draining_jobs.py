"""Run in a process of its own: what becomes of replicas that dstack comes to end, without a server.

`python -m tests.servers.draining_jobs FOLDER` writes JSON.
"""

# ruff: noqa: E402
from __future__ import annotations

import asyncio
import json
import sys
import uuid
from datetime import timedelta
from typing import Any
from unittest import mock

from dstack_placement.server.compat import schema

schema.install()

from dstack._internal.core.models.instances import InstanceStatus
from dstack._internal.core.models.runs import (
    JobStatus,
    JobTerminationReason,
    RunTerminationReason,
)
from dstack._internal.server.background.pipeline_tasks import gateway_replicas, jobs_terminating
from dstack._internal.server.db import get_session_ctx
from dstack._internal.server.models import EventModel, InstanceModel, JobModel, RunModel
from dstack._internal.server.testing import common
from dstack._internal.utils.common import get_current_datetime
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from dstack_placement.server.answers.answers import ListRequest
from dstack_placement.server.base import tables
from dstack_placement.server.compat import overrides
from dstack_placement.server.drain import (
    drain_rules,
    draining,
    drains,
    open_elsewhere,
    open_requests,
)
from dstack_placement.server.gateways import gateway_rotation
from dstack_placement.server.gateways.gateway_rotation import GatewayLook
from dstack_placement.server.view import listing
from tests.servers.stored_runs import Parts, World, found_out

NOW = get_current_datetime()


class Server:
    """dstack's pipeline that ends jobs, as far as the add-on overrides it.

    Attributes:
        ended: The replicas that it has ended, and whether their processes were asked to end.
    """

    def __init__(self) -> None:
        self.ended: list[tuple[int, bool]] = []
        self._process = overrides._termination(self._end)

    async def _end(self, job_model: Any, instance_model: Any) -> Any:
        self.ended.append((job_model.replica_num, job_model.graceful_termination_attempts == 0))
        return jobs_terminating._ProcessResult()

    async def comes(self, job: JobModel, seconds: float) -> bool:
        """Comes to a job after so many seconds; whether it ends it."""
        before = len(self.ended)
        async with get_session_ctx() as session:
            found = await session.execute(
                select(JobModel)
                .where(JobModel.id == job.id)
                .options(joinedload(JobModel.run), joinedload(JobModel.instance))
            )
            model = found.unique().scalar_one()
        now = NOW + timedelta(seconds=seconds)
        with (
            mock.patch.object(draining, "get_current_datetime", return_value=now),
            mock.patch.object(open_elsewhere, "get_current_datetime", return_value=now),
        ):
            await self._process(model, model.instance)
        return len(self.ended) > before


async def _stopping(world: World, name: str, *, number: int = 0, **changes: Any) -> JobModel:
    """A replica that ran and is to stop."""
    run = await world.run(name, fleets=["near"], **changes)
    host = await common.create_instance(
        world.session, world.project, world.fleets["near"], InstanceStatus.BUSY
    )
    return await world.job(
        run,
        number,
        status=JobStatus.TERMINATING,
        termination_reason=JobTerminationReason.SCALED_DOWN,
        running_at=NOW,
        registered=True,
        ready=True,
        instance=host,
        instance_assigned=True,
    )


async def _told(world: World) -> list[str]:
    rows = await world.session.execute(select(EventModel.message).order_by(EventModel.recorded_at))
    return [message for message in rows.scalars() if message.startswith("Replica ")]


async def _drains(world: World) -> dict[str, Any]:
    """A replica with requests, and servers that come to it one after the other."""
    job = await _stopping(world, "gentle", number=3, drain="60s")
    with (
        mock.patch.dict(open_requests._open, {job.id: 2}),
        mock.patch.object(drain_rules, "_read", wraps=drain_rules._read) as read,
    ):
        first = Server()
        came = [await first.comes(job, 0), await first.comes(job, 20)]
        shown = (await drains.draining(world.session, [job.run_id]))[job.run_id][0]
        listed = await listing.placements(world.session, world.project, ListRequest())
    # It dies, and the requests with it.
    second = Server()
    came += [await second.comes(job, 41), await second.comes(job, 43)]
    return {
        "came": came,
        "specs read": read.call_count,
        "shown": [shown.replica_num, shown.limit, shown.open, shown.in_rotation],
        "since": abs((shown.since - NOW).total_seconds()) < 1,
        "listed": [[each.replica_num for each in run.draining] for run in listed.runs],
        "ended": second.ended,
        "told": await _told(world),
        "left": len(await drains.draining(world.session, [job.run_id])),
    }


async def _limits(world: World) -> dict[str, Any]:
    """Drains that run into their limit, and what is stopped at once."""
    brief = await _stopping(world, "brief", number=1, drain="5s")
    off = await _stopping(world, "off", drain="off")
    server, came = Server(), []
    with mock.patch.dict(open_requests._open, {brief.id: 2, off.id: 1}):
        came += [await server.comes(brief, 0), await server.comes(brief, 4)]
        came += [await server.comes(brief, 6), await server.comes(off, 6)]
    with mock.patch.object(open_requests, "open_to", side_effect=TimeoutError):
        broken = await _stopping(world, "broken", number=2, drain="5s")
        for seconds in (0, 14, 16):
            came.append(await _comes_in_vain(server, broken, seconds))
    return {
        "came": came,
        "ended": server.ended,
        "told": await _told(world),
        "shortened": await _shortened(world),
    }


async def _shortened(world: World) -> list[bool]:
    """Whether a replica ends before and after an edit that gives it less time than it has had."""
    job = await _stopping(world, "shortened", number=4, drain="60s")
    server, run = Server(), await world.session.get(RunModel, job.run_id)
    with mock.patch.dict(open_requests._open, {job.id: 2}):
        came = [await server.comes(job, 0), await server.comes(job, 20)]
        spec = json.loads(run.run_spec)
        spec["configuration"]["drain"] = "5s"
        run.run_spec, run.deployment_num = json.dumps(spec), run.deployment_num + 1
        await world.session.commit()
        came.append(await server.comes(job, 22))
    return came


async def _comes_in_vain(server: Server, job: JobModel, seconds: float) -> bool:
    """Comes to a job that can't be looked at; what it raises has dstack come again."""
    try:
        return await server.comes(job, seconds)
    except TimeoutError:
        return False


async def _waits_for_nothing(world: World) -> dict[str, Any]:
    """Replicas that go for another reason, or whose host or run goes."""
    came = {}
    for name in ("interrupted", "host gone", "host lost", "run ends", "never ran", "under way"):
        job = await _stopping(world, name.replace(" ", "-"))
        host = await world.session.get_one(InstanceModel, job.instance_id)
        run = await world.session.get_one(RunModel, job.run_id)
        if name == "interrupted":
            job.termination_reason = JobTerminationReason.INTERRUPTED_BY_NO_CAPACITY
        elif name == "host gone":
            host.status = InstanceStatus.TERMINATING
        elif name == "host lost":
            host.unreachable = True
        elif name == "run ends":
            run.termination_reason = RunTerminationReason.STOPPED_BY_USER
        elif name == "never ran":
            job.running_at = None
        else:
            job.remove_at = NOW
        await world.session.commit()
        came[name] = await Server().comes(job, 0)
    rows = await world.session.execute(select(tables.DrainRow.job_id))
    return {"came": came, "noted": len(rows.all())}


async def _elsewhere(world: World) -> dict[str, Any]:
    """Requests that another server of the same database has open, and what this one reports."""
    job = await _stopping(world, "shared", drain="60s")
    server = Server()
    came = [await server.comes(job, 0)]
    other = {"job_id": job.id, "run_id": job.run_id, "server": uuid.uuid4()}
    world.session.add(tables.OpenRequestsRow(**other, open=4, seen_at=NOW + timedelta(seconds=4)))
    await world.session.commit()
    came.append(await server.comes(job, 8))
    shown = (await drains.draining(world.session, [job.run_id]))[job.run_id][0].open
    reported = []
    for counts in ({job.id: 2, uuid.uuid4(): 5}, {}):
        with mock.patch.dict(open_requests._open, counts):
            await open_elsewhere._write()
        rows = await world.session.execute(
            select(tables.OpenRequestsRow.open).order_by(tables.OpenRequestsRow.open)
        )
        reported.append([*rows.scalars()])
    # The other one has not reported for so long that it is gone.
    came.append(await server.comes(job, 15))
    return {"came": came, "shown": shown, "reported": reported, "told": await _told(world)}


async def _gateway(world: World) -> dict[str, Any]:
    """A replica that a gateway has, and what the gateway is told to forget meanwhile."""
    backend = await common.create_backend(world.session, world.project.id)
    gateway = await common.create_gateway(world.session, world.project.id, backend.id)
    for number in range(2):
        await common.create_gateway_replica(
            world.session, backend, gateway.id, f"10.0.0.{number}", replica_num=number
        )
    job = await _stopping(world, "served", number=1, drain="60s")
    run = await world.session.get_one(RunModel, job.run_id)
    run.gateway_id = gateway.id
    off = await _stopping(world, "off", drain="off")
    await world.session.commit()
    server, came, kept, asked = Server(), [], [await _kept(job, off)], []
    looks = [GatewayLook(True, 3), GatewayLook(False, 1), GatewayLook(False, 0)]

    async def take_out(machines: Any, job_id: uuid.UUID, *, is_last: bool) -> GatewayLook:
        asked.append([sorted(each.address for each in machines), job_id == job.id, is_last])
        return looks[len(asked) - 1]

    with mock.patch.object(gateway_rotation, "take_out", side_effect=take_out):
        for seconds in (0, 20, 30):
            if seconds == 20:
                await world.job(run, 2, status=JobStatus.RUNNING)
            came.append(await server.comes(job, seconds))
            kept.append(await _kept(job, off))
    ended_run = await _stopping(world, "ended")
    return {
        "came": came,
        "kept": kept,
        "kept of a run that ends": await _kept(ended_run, ends=True),
        "asked": asked,
        "told": await _told(world),
    }


async def _kept(*jobs: JobModel, ends: bool = False) -> list[int]:
    """Which of several replicas a gateway is not told to forget."""
    service = gateway_replicas._ServiceRef(uuid.uuid4(), "main", "served")
    plan = gateway_replicas._StateSyncPlan(unregister_replicas={service: {job.id for job in jobs}})
    if ends:
        plan.unregister_services.add(service)
    await draining.keep_at_gateway(plan)
    return [job.replica_num for job in jobs if job.id not in plan.unregister_replicas[service]]


PARTS: Parts = {
    "gateway": _gateway,
    "elsewhere": _elsewhere,
    "drains": _drains,
    "limits": _limits,
    "waits for nothing": _waits_for_nothing,
}


def main(folder: str) -> dict[str, Any]:
    """What is found, with databases in a folder."""
    return asyncio.run(found_out(PARTS, folder))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:]), default=str))
