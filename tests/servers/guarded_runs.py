"""Run in a process of its own: what keeps one run, member or fault from holding up all others.

`python -m tests.servers.guarded_runs FOLDER` writes JSON.
"""

# ruff: noqa: E402
from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest import mock

from dstack_placement.server.compat import schema

schema.install()

from dstack._internal.core.errors import ServerClientError
from dstack._internal.core.models.runs import JobStatus, RunSpec
from dstack._internal.server.background.pipeline_tasks.runs import active
from dstack._internal.server.db import Database, get_session_ctx, override_db
from dstack._internal.server.models import (
    EventModel,
    JobModel,
    RunModel,
)
from dstack._internal.server.services.runs import get_run_spec, run_model_to_run
from dstack._internal.server.services.runs import spec as dstack_spec
from dstack._internal.utils.common import get_current_datetime
from sqlalchemy import AsyncAdaptedQueuePool, func, insert, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm.attributes import set_committed_value

from dstack_placement.server.active_run import running
from dstack_placement.server.answers import answers
from dstack_placement.server.api import previewing
from dstack_placement.server.assignment import applying, choosing, planning
from dstack_placement.server.base import tables
from dstack_placement.server.base.faults import Faults, faults
from dstack_placement.server.compat import overrides
from dstack_placement.server.moving import moves, rebalancing
from dstack_placement.server.networks import unreachable
from dstack_placement.server.runs import replica_jobs, specs
from dstack_placement.server.state.other_servers import OTHER_SERVER
from dstack_placement.server.view import listing, looking
from tests.servers.guarded_rooms import rooms
from tests.servers.processed_runs import active_context, counted, process, submitted
from tests.servers.stored_runs import World, made

REFUSED = [{"name": "near", "min_replicas": 5, "priority": 1}, "far"]
COUNTS = "desired_replica_counts"
SECRET = "hunter2-of-the-environment"


async def listed(world: World, *names: str) -> dict[str, Any]:
    """The list by run, and the names of those that are answered in full."""
    asked = answers.ListRequest(run_names=list(names))
    found = await listing.placements(world.session, world.project, asked)
    runs = {run.run_name: json.loads(run.model_dump_json()) for run in found.runs}
    return {"runs": runs, "full": [each.run_name for each in found.placements]}


async def refused_specs(world: World) -> dict[str, Any]:
    """A stored spec that a plan would refuse, beside one that is fine."""
    run = await world.run("refused", fleets=REFUSED, counts={"0": 2})
    await world.run("fine", counts={"0": 2})
    job = await world.job(run, 0)
    result = await process(run)
    context = await submitted(world, run, job)
    waits = await choosing.choose_or_wait(context)
    repaired = get_run_spec(run)
    repaired.configuration.fleets[0].min_replicas = 1
    diff = planning.check_can_update(
        dstack_spec.check_can_update_run_spec, get_run_spec(run), repaired
    )

    async def applied(spec: RunSpec) -> str:
        async def original(**asked: Any) -> Any:
            return run_model_to_run(run)

        asked = {"session": world.session, "user": world.user, "project": world.project}
        try:
            await applying.apply_plan(
                original, (), {**asked, "plan": SimpleNamespace(run_spec=spec)}
            )
        except ServerClientError as error:
            return str(error)
        return "applied"

    shown = await looking.placement(world.session, world.project, "refused")
    return {
        "counts": json.loads(result.run_update_map[COUNTS]),
        "new": len(result.new_job_models),
        "fleet": None if waits is not None else context.fleet_model.name,
        "diff": sorted(diff["configuration"]),
        "repair": await applied(repaired),
        "again": await applied(get_run_spec(run)),
        "list": await listed(world, "refused", "fine"),
        "lanes": [[lane.fleet, lane.min_replicas, lane.deficit] for lane in shown.lanes],
        "notes": shown.notes,
        "fault": shown.fault,
    }


@contextmanager
def breaking(owner: Any, name: str, error: Exception | None = None) -> Iterator[None]:
    """A part of the add-on that fails."""
    with mock.patch.object(owner, name, side_effect=error or KeyError(SECRET)):
        yield


class Log(logging.Handler):
    """What is logged of placing."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.whole = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self.whole += self.format(record)


async def unexpected_errors(world: World) -> dict[str, Any]:
    """Errors of the add-on itself in each override."""
    log = Log()
    logging.getLogger("dstack.placement").addHandler(log)
    run = await world.run("broken", counts={"0": 2})
    lanes = [{"name": "lender/lent", "min_replicas": 1}, "far"]
    other = await world.run("fine", fleets=lanes, counts={"0": 2})
    job = await world.job(run, 0)
    for number in range(2):
        await world.job(other, number, **world.in_fleet("far"))
    told: dict[str, Any] = {}

    async def now(name: str = "broken") -> str | None:
        shown = (await listed(world))["runs"][name]["fault"]
        return str(shown["message"]) if shown else None

    with breaking(specs, "read_stored"):
        for _ in range(5):
            result = await process(run)
        told["processed"] = json.loads(result.run_update_map[COUNTS])
        told["while it fails"] = await now()
        context = await submitted(world, run, job)

        async def original(**asked: Any) -> str:
            return "by dstack"

        told["placed"] = await overrides._assignment(original)(context)
        told["nodes"] = overrides._nodes_required(lambda spec: 7)(get_run_spec(run))
        told["update"] = overrides._check_can_update(lambda old, new: "by dstack")(
            get_run_spec(run), get_run_spec(other)
        )
        get = await looking.placement(world.session, world.project, "broken")
        told["get"] = [get.managed, get.fault is not None, get.lanes]
        told["list"] = sorted((await listed(world, "broken"))["full"])
    told["logged"] = [line for line in log.lines if "state of its replicas" in line]
    told["names"] = all("broken" in line or "fine" in line for line in log.lines)
    told["others"] = await now("fine")
    await process(run)
    await choosing.choose_or_wait(await submitted(world, run, job))
    told["once it works"] = [line for line in [await now()] if line and "replicas fails" in line]

    # In the middle of what comes after dstack's own look.
    context = await active_context(other)
    before = await active.process_active_run(context)
    with breaking(moves, "tell_deficits"):
        after = await overrides._active_run(active.process_active_run)(context)
    told["moves"] = [len(before.new_job_models), len(after.new_job_models)]
    told["rows"] = await _rows(world.session, other.id)
    told["moving"] = await now("fine")
    healthy = await overrides._active_run(active.process_active_run)(await active_context(other))
    told["moves once it works"] = [len(healthy.new_job_models), await now("fine")]
    told["rows once it works"] = await _rows(world.session, other.id)

    # What is for the person who asks is a fault where nobody does.
    with breaking(running, "glance", ServerClientError("No such fleet")):
        told["nobody asks"] = json.loads((await process(run)).run_update_map[COUNTS])
    await process(run)

    # A database that is busy fails dstack's own code too, which begins again later.
    locked = OperationalError("SELECT", {}, Exception("database is locked"))
    with breaking(running, "glance", locked):
        try:
            await process(run)
        except OperationalError as error:
            told["busy"] = str(error.orig)
    with breaking(running, "locked_run", tables.RunBusyError("busy")):
        try:
            await process(run)
        except tables.RunBusyError as error:
            told["kept by another"] = str(error)
    with breaking(choosing, "locked_run", tables.RunBusyError("busy")):
        waits = await choosing.choose_or_wait(await submitted(world, run, await world.job(run, 1)))
        told["waits"] = [type(waits).__name__, waits.log_message]

    # One spec that can't be read at all.
    spec = json.loads(other.run_spec)
    spec["configuration"]["replicas"] = {"min": "quoted-from-the-spec"}
    other.run_spec = json.dumps(spec)
    other.deployment_num += 1
    await world.session.commit()
    unreadable = await listed(world, "fine")
    told["unreadable"] = [
        sorted(unreadable["runs"]),
        unreadable["full"],
        unreadable["runs"]["fine"]["fault"]["message"].split(" (")[0],
    ]
    told["quoted"] = ["quoted-from-the-spec" in log.whole, "has wrong values at" in log.whole]
    told["secrets"] = SECRET in json.dumps([told, unreadable, log.lines])
    told["log"] = await _log_once_a_minute()
    return told


async def other_servers(world: World) -> dict[str, Any]:
    """Replicas that were placed with and without the add-on, before it looked and after."""
    run = await world.run("beside", counts={"0": 5})
    begun = get_current_datetime()
    near, far = world.in_fleet("near"), world.in_fleet("far")

    async def job(number: int, since: datetime, in_fleet: dict[str, Any]) -> JobModel:
        return await world.job(run, number, submitted_at=since, **in_fleet)

    async def strange() -> list[int]:
        shown = await looking.placement(world.session, world.project, "beside")
        rows = [row for row in shown.replicas if row.reason == OTHER_SERVER]
        counted = (await listed(world))["runs"]["beside"]["other_server_replicas"]
        assert counted == len(rows)
        return [row.replica_num for row in rows]

    await job(0, begun - timedelta(hours=1), near)
    told: dict[str, Any] = {}
    await process(run)
    await process(run)
    told["before the first look"] = await strange()
    after = get_current_datetime()
    await job(1, after, far)
    led = await job(2, after, near)
    await world.promise(led, "near", after)
    elsewhere = await job(3, after, far)
    await world.promise(elsewhere, "near", after)
    failed = await world.job(run, 4, status=JobStatus.SUBMITTED, submitted_at=after)
    with breaking(specs, "read_stored"):
        await overrides._assignment(_by_dstack)(await submitted(world, run, failed))
    for name, value in far.items():
        setattr(failed, name, value)
    await world.session.commit()
    await process(run)
    await process(run)
    told["beside"] = await strange()
    told["events"] = await _messages(world.session, "without the add-on")
    shown = await looking.placement(world.session, world.project, "beside")
    told["reasons"] = {row.replica_num: [row.fleet, row.reason] for row in shown.replicas}

    # No server with the add-on looks for a while.
    row = await world.session.get(tables.LookRow, run.id, populate_existing=True)
    row.seen_at -= timedelta(minutes=6)
    await world.session.commit()
    await job(5, get_current_datetime(), far)
    await process(run)
    await process(run)
    told["while it was away"] = await strange()

    # Its lanes were taken away meanwhile, and dstack's own rule placed it.
    async def original(**_: Any) -> Any:
        return run_model_to_run(run)

    data = get_run_spec(run).model_dump()
    data["configuration"]["fleets"] = None
    plain = RunSpec.model_validate(data)
    asked = {"session": world.session, "user": world.user, "project": world.project}
    await applying.apply_plan(original, (), {**asked, "plan": SimpleNamespace(run_spec=plain)})
    await world.session.commit()
    await job(6, get_current_datetime(), far)
    await process(run)
    await process(run)
    told["without lanes"] = await strange()
    return told


async def _by_dstack(**_: Any) -> str:
    return "by dstack"


async def _messages(session: AsyncSession, part: str) -> list[str]:
    found = await session.execute(select(EventModel.message).order_by(EventModel.recorded_at))
    return [message for message in found.scalars() if part in message]


async def _rows(session: AsyncSession, run_id: uuid.UUID) -> int:
    found = await session.execute(select(func.count()).where(tables.PlacementRow.run_id == run_id))
    return int(found.scalar_one())


async def _log_once_a_minute() -> list[Any]:
    clock = [0.0]
    begun = get_current_datetime()
    own = Faults(lambda: clock[0], lambda: begun + timedelta(seconds=clock[0]))
    log = Log()
    logging.getLogger("dstack.placement").addHandler(log)
    run = SimpleNamespace(id=uuid.uuid4(), run_name="chat")
    for _ in range(150):
        with own.guarded("moving its replicas", run):
            raise KeyError
        clock[0] += 1
    fault = own.of(run.id)
    assert fault is not None
    clock[0] += 601
    logging.getLogger("dstack.placement").removeHandler(log)
    return [log.lines, (fault.last_at - fault.since).total_seconds(), own.of(run.id)]


async def previews(world: World) -> dict[str, Any]:
    """What is too much, and what goes on meanwhile."""
    await world.run("chat", counts={"0": 2})

    async def refused(**body: Any) -> Any:
        asked = answers.PreviewRequest.model_validate({"run_name": "chat", **body})
        try:
            return await previewing.preview_of(world.session, world.project, asked)
        except ServerClientError as error:
            return str(error)

    lanes = [{"name": "near", "min_replicas": 1}]
    told: dict[str, Any] = {
        "too many": await refused(replicas={"0": 300_000}),
        "far too many": await refused(replicas={"0": 10**4000}),
        "a range": (await refused(replicas={"0": "1..300000"})).actions,
        "groups": await refused(replicas={str(number): 1 for number in range(101)}),
        "lanes": await refused(fleets=[*lanes, *(f"f{number}" for number in range(10_000))]),
        "priority": await refused(fleets=[{"name": "near", "priority": 10**9}]),
    }
    try:
        await listed(world, *map(str, range(101)))
    except ServerClientError as error:
        told["list"] = str(error)
    many = await refused(replicas={"0": 10_000})
    told["most"] = [many.actions, len(many.replicas)]
    asked = await refused(replicas={"0": 5}, include_replicas=True)
    told["asked for"] = [asked.actions, len(asked.replicas)]

    # The loop goes on while the engine works: it is the loop that lets the engine end.
    loop_went_on = threading.Event()
    plan = looking.preview

    def slow(*given: Any, **more: Any) -> Any:
        told["waited"] = loop_went_on.wait(60)
        told["elsewhere"] = threading.current_thread() is not threading.main_thread()
        return plan(*given, **more)

    with mock.patch.object(looking, "preview", slow):
        preview = asyncio.create_task(refused())
        asyncio.get_running_loop().call_soon(loop_went_on.set)
        await preview
    return told


async def old_rows(world: World) -> dict[str, Any]:
    """Looks at a run of which thousands of replicas have ended."""
    run = await world.run("chat", counts={"0": 2})
    now = get_current_datetime()
    long_ago = now - timedelta(days=3)
    live = [await world.job(run, number, **world.in_fleet("far")) for number in range(2)]
    for job in live:
        await world.promise(job, "far", long_ago)
    gone = await world.job(run, 2, status=JobStatus.TERMINATED)
    columns = {c.name: getattr(gone, c.key) for c in JobModel.__table__.columns}
    ended = [uuid.uuid4() for _ in range(2000)]
    await world.session.execute(
        insert(JobModel.__table__),
        [{**columns, "id": id_, "submission_num": n + 1} for n, id_ in enumerate(ended)],
    )
    row = {"run_id": run.id, "fleet": "near", "fleet_id": world.fleets["near"].id}
    row |= {"reason": "priority", "why": "first by priority", "since": long_ago}
    rows = [{**row, "job_id": id_, "outcome": "started"} for id_ in ended]
    # One that ended just now and is not settled, one of which nobody knows, one about to be made.
    rows += [
        {**row, "job_id": gone.id, "outcome": None, "since": now},
        {**row, "job_id": uuid.uuid4(), "outcome": None},
        {**row, "job_id": (coming := uuid.uuid4()), "outcome": None, "since": now},
    ]
    await world.session.execute(insert(tables.PlacementRow.__table__), rows)
    spec = (await world.state_of(run, world.project)).editions["", "near"]
    cools = {"since": long_ago, "until": long_ago, "failures": 3, "cause": "no capacity"}
    world.session.add(
        tables.CooldownRow(run_id=run.id, pool="", fleet="near", edition=spec, **cools)
    )
    await world.session.commit()
    loaded, statements = counted(world)
    told: dict[str, Any] = {"looks": []}

    async def look() -> None:
        loaded.clear()
        statements.clear()
        seen = await running.look(await _latest(run))
        assert seen is not None
        told["looks"].append(
            [len(loaded), len(statements), await _rows(world.session, run.id), len(seen.state.jobs)]
        )

    for _ in range(4):
        await look()
    loaded.clear()
    await listed(world)
    told["list"] = len(loaded)
    found = await world.session.execute(select(tables.PlacementRow.job_id, tables.PlacementRow.why))
    left = {row.job_id: row.why for row in found}
    told["left"] = [{job.id for job in live} <= left.keys(), coming in left, len(left)]
    told["why"] = sorted(set(left.values()))
    kept = await world.session.get(tables.CooldownRow, (run.id, "", "near"))
    told["failures"] = kept.failures if kept is not None else None
    return told


async def _latest(run: RunModel) -> active.ActiveContext:
    """dstack's context, which has the latest submission of each replica only."""
    context = await active_context(run)
    newest: dict[int, JobModel] = {}
    for job in sorted(context.run_model.jobs, key=lambda job: job.submission_num):
        newest[job.replica_num] = job
    first = min(context.run_model.jobs, key=lambda job: (-job.replica_num, job.submission_num))
    newest[first.replica_num] = first
    set_committed_value(context.run_model, "jobs", list(newest.values()))
    return context


async def one_connection(folder: str) -> dict[str, Any]:
    """All handlers and overrides on a pool of one connection."""
    url = f"sqlite+aiosqlite:///{folder}/one.sqlite"
    async with made(Database(url)) as session:
        world = await World(session).make()
        lanes = [{"name": "lender/lent", "min_replicas": 1}, "far"]
        run = await world.run("chat", fleets=lanes, counts={"0": 2})
        for number in range(2):
            await world.job(run, number, **world.in_fleet("far"))
        starts = await world.run("starts", counts={"0": 1})
        job = await world.job(starts, 0)
    engine = create_async_engine(
        url, poolclass=AsyncAdaptedQueuePool, pool_size=1, max_overflow=0, pool_timeout=5
    )
    told: dict[str, Any] = {}
    database = Database(url, engine)
    override_db(database)

    async def handled(name: str, handler: Callable[[AsyncSession], Awaitable[Any]]) -> None:
        # As a request: who asks is looked up first, in the session of the handler.
        async with get_session_ctx() as session:
            await session.get_one(RunModel, run.id)
            await handler(session)
            told[name] = True

    project, user = world.project, world.user
    asked = answers.RebalanceRequest(run_name="chat")
    cancel = answers.RebalanceRequest(run_name="chat", cancel=True)
    preview = answers.PreviewRequest(run_name="chat")
    one = answers.ListRequest(run_names=["chat"])
    await handled("rebalance", lambda s: rebalancing.rebalance(s, project, user, asked))
    await handled("cancel", lambda s: rebalancing.rebalance(s, project, user, cancel))
    await handled("preview", lambda s: previewing.preview_of(s, project, preview))
    await handled("list", lambda s: listing.placements(s, project, one))
    await handled("get", lambda s: looking.placement(s, project, "chat"))
    told["active"] = len((await process(run)).new_job_models)
    waits = await choosing.choose_or_wait(await submitted(world, starts, job))
    told["submitted"] = waits is None
    told["faults"] = [faults.of(run.id), faults.of(starts.id)]
    await database.engine.dispose()
    return told


async def _run_id(session: AsyncSession, name: str) -> uuid.UUID:
    found = await session.execute(select(RunModel.id).where(RunModel.run_name == name))
    return uuid.UUID(str(found.scalar_one()))


async def large_specs(world: World) -> dict[str, Any]:
    """What is kept of specs with large environments, and jobs of servers before groups."""
    run = await world.run("old", counts={"0": 1})
    job = await world.job(run, 0)
    data = json.loads(job.job_spec_data)
    del data["replica_group"]
    job.job_spec_data = json.dumps(data)
    await world.session.commit()
    jobs = await replica_jobs.read_jobs(world.session, run.id)
    environment = {"TOKEN": SECRET, "LARGE": "x" * 100_000}
    for number in range(50):
        await world.run(f"large-{number}", env=environment, counts={"0": 2})
    before = await listed(world)
    edited = await _edit(world, "large-7")
    again = await listed(world)
    kept = listing._services
    text = repr(kept._entries)
    return {
        "groups": [each.group for each in jobs],
        "runs": len(before["runs"]),
        "bytes": kept.bytes,
        "entries": len(kept),
        "secret": SECRET in text,
        "warned": [before["runs"][edited]["warnings"], again["runs"][edited]["warnings"]],
    }


async def _edit(world: World, name: str) -> str:
    run = await world.session.get_one(RunModel, await _run_id(world.session, name))
    spec = json.loads(run.run_spec)
    spec["configuration"]["fleets"] = REFUSED
    run.run_spec, run.deployment_num = json.dumps(spec), run.deployment_num + 1
    await world.session.commit()
    return name


PARTS: dict[str, Callable[[World], Awaitable[dict[str, Any]]]] = {
    "refused specs": refused_specs,
    "unexpected errors": unexpected_errors,
    "other servers": other_servers,
    "previews": previews,
    "old rows": old_rows,
    "large specs": large_specs,
    "rooms": rooms,
}


async def _all(folder: str, names: Sequence[str]) -> dict[str, Any]:
    assert not unreachable.is_one_network()
    told: dict[str, Any] = {}
    for number, (name, part) in enumerate(PARTS.items()):
        if names and name not in names:
            continue
        url = f"sqlite+aiosqlite:///{folder}/{number}.sqlite"
        async with made(Database(url)) as session:
            told[name] = await part(await World(session).make())
    if not names or "one connection" in names:
        told["one connection"] = await one_connection(folder)
    return told


def main(folder: str, *names: str) -> dict[str, Any]:
    """What is found, all of it or what is named, with databases in a folder."""
    return asyncio.run(_all(folder, names))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:]), default=str))
