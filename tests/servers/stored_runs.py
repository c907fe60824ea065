"""Run in a process of its own: what the add-on makes of runs in a database, without a server.

`python -m tests.servers.stored_runs FOLDER` writes JSON.
"""

from __future__ import annotations

import asyncio
import functools
import json
import shutil
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from dstack_placement.server.compat import schema

schema.install()

from dstack._internal.core.errors import ServerClientError  # noqa: E402
from dstack._internal.core.models.configurations import ServiceConfiguration  # noqa: E402
from dstack._internal.core.models.runs import (  # noqa: E402
    JobStatus,
    JobTerminationReason,
    RunStatus,
)
from dstack._internal.server.background.pipeline_tasks.runs.active import (  # noqa: E402
    _ReplicaAnalysis,
)
from dstack._internal.server.db import Database, override_db  # noqa: E402
from dstack._internal.server.models import (  # noqa: E402
    BaseModel,
    EventModel,
    EventTargetModel,
    FleetModel,
    JobModel,
    ProjectModel,
    RunModel,
    UserModel,
)
from dstack._internal.server.services import encryption  # noqa: E402, F401
from dstack._internal.server.services.runs import get_run_spec, run_model_to_run  # noqa: E402
from dstack._internal.server.testing import common  # noqa: E402
from dstack._internal.utils.common import get_current_datetime  # noqa: E402
from sqlalchemy import create_engine, select  # noqa: E402
from sqlalchemy.ext.asyncio import AsyncSession  # noqa: E402

from dstack_placement.engine import Room, next_actions  # noqa: E402
from dstack_placement.server.active_run import running  # noqa: E402
from dstack_placement.server.answers import answers  # noqa: E402
from dstack_placement.server.api import previewing  # noqa: E402
from dstack_placement.server.assignment import applying  # noqa: E402
from dstack_placement.server.base import tables  # noqa: E402
from dstack_placement.server.compat import overrides  # noqa: E402
from dstack_placement.server.moving import deficits, rebalancing  # noqa: E402
from dstack_placement.server.state import state  # noqa: E402
from dstack_placement.server.view import listing, looking  # noqa: E402

LANES = [{"name": "near", "min_replicas": 1, "priority": 1}, "far"]


@asynccontextmanager
async def made(database: Database) -> AsyncIterator[AsyncSession]:
    """A session of a new SQLite file with all tables, which is the server's meanwhile."""
    override_db(database)
    file = Path(str(database.engine.url.database))
    shutil.copy(_with_tables(file.parent), file)
    async with database.get_session() as session:
        yield session
    await database.engine.dispose()


@functools.cache
def _with_tables(folder: Path) -> Path:
    """A file with all tables to copy: to make them takes longer than much of what is tried."""
    file = folder / "tables.sqlite"
    engine = create_engine(f"sqlite:///{file}")
    BaseModel.metadata.create_all(engine)
    tables.Base.metadata.create_all(engine)
    engine.dispose()
    return file


class World:
    """A project with the fleets `near` and `far`, and another one that lends it `lent`."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.user: UserModel
        self.project: ProjectModel
        self.lender: ProjectModel
        self.fleets: dict[str, FleetModel] = {}

    async def make(self) -> World:
        """Fills the database."""
        self.user = await common.create_user(self.session)
        self.project = await common.create_project(self.session, owner=self.user)
        self.lender = await common.create_project(self.session, owner=self.user, name="lender")
        unlimited = common.get_fleet_spec(common.get_fleet_configuration(nodes=_nodes(None)))
        for name in ("near", "far"):
            self.fleets[name] = await common.create_fleet(
                self.session, self.project, name=name, spec=unlimited
            )
        spec = common.get_fleet_spec(common.get_fleet_configuration(nodes=_nodes(4)))
        self.fleets["lent"] = await common.create_fleet(
            self.session, self.lender, name="lent", spec=spec
        )
        await common.create_export(
            session=self.session,
            exporter_project=self.lender,
            importer_projects=[self.project],
            exported_fleets=[self.fleets["lent"]],
        )
        return self

    async def run(
        self,
        name: str,
        *,
        fleets: list[Any] | None = None,
        project: ProjectModel | None = None,
        status: RunStatus = RunStatus.RUNNING,
        counts: dict[str, int] | None = None,
        **changes: Any,
    ) -> RunModel:
        """A run of a service with lanes."""
        project = project or self.project
        repo = await common.create_repo(self.session, project_id=project.id, repo_name=name)
        configuration = ServiceConfiguration.model_validate(
            {
                "type": "service",
                "port": 8000,
                "commands": ["serve"],
                "replicas": 2,
                "fleets": LANES if fleets is None else fleets,
                **changes,
            }
        )
        spec = common.get_run_spec(repo.name, run_name=name, configuration=configuration)
        run = await common.create_run(
            self.session, project, repo, self.user, run_name=name, status=status, run_spec=spec
        )
        run.desired_replica_counts = json.dumps(counts) if counts else None
        await self.session.commit()
        return run

    async def job(self, run: RunModel, number: int = 0, group: str = "0", **more: Any) -> JobModel:
        """A replica's job."""
        groups = [each.name for each in get_run_spec(run).configuration.replica_groups]
        like = group if group in groups else groups[0]
        job = await common.create_job(
            self.session, run, replica_num=number, replica_group_name=like, **more
        )
        data = json.loads(job.job_spec_data)
        job.job_spec_data = json.dumps({**data, "replica_group": group})
        await self.session.commit()
        return job

    def in_fleet(self, fleet: str) -> dict[str, Any]:
        """What a job has that runs in a fleet."""
        running = {"status": JobStatus.RUNNING, "instance_assigned": True}
        return {**running, "fleet": self.fleets[fleet]}

    async def promise(self, job: JobModel, fleet: str, since: datetime) -> None:
        """A lane that was given to a job."""
        self.session.add(
            tables.PlacementRow(
                job_id=job.id,
                run_id=job.run_id,
                fleet=fleet,
                fleet_id=self.fleets[fleet.split("/")[-1]].id,
                reason="priority",
                why="first by priority",
                since=since,
            )
        )
        await self.session.commit()

    async def state_of(self, run: RunModel, project: ProjectModel) -> state.RunState:
        """What the engine is told of a run."""
        seen = await looking.read_run(self.session, project, run, get_run_spec(run))
        assert seen.state is not None
        return seen.state


def _nodes(greatest: int | None) -> Any:
    from dstack._internal.core.models.fleets import FleetNodesSpec

    return FleetNodesSpec(min=0, target=0, max=greatest)


async def _previews(world: World) -> dict[str, Any]:
    """Counts that are tried with lanes that only fit them, or do not."""
    run = await world.run("fixed")
    for number in range(2):
        await world.job(run, number, **world.in_fleet("far"))
    scaling = {"metric": "rps", "target": 10}
    await world.run("scaled", replicas="1..5", scaling=scaling, counts={"0": 2})
    groups = [{"name": "one", "replicas": 1, "commands": ["serve"], "fleets": ["near"]}]
    await world.run("grouped", groups=groups, replicas=None, commands=[], counts={"one": 1})

    async def told(run_name: str, minimum: int | None, replicas: Any, group: str = "0") -> Any:
        body: dict[str, Any] = {"run_name": run_name}
        lanes = [{"name": "near", "min_replicas": minimum}, "far"]
        if replicas is not None:
            body["replicas"] = {group: replicas}
        if group == "0":
            body["fleets"] = lanes
        else:
            body["group_fleets"] = {group: lanes}
        asked = answers.PreviewRequest.model_validate(body)
        try:
            found = await previewing.preview_of(world.session, world.project, asked)
        except ServerClientError as error:
            return str(error)
        after = {lane.fleet: lane.after for lane in found.lanes}
        return {"after": after, "notes": [note for note in found.notes if "min_" in note]}

    return {
        "more than stored": await told("fixed", 3, 4),
        "fewer than stored": await told("fixed", 2, 1),
        "as stored": await told("fixed", 3, None),
        "a range": await told("fixed", 3, "1..4"),
        "a range that is too small": await told("fixed", 5, {"min": 1, "max": 4}),
        "of a scaled service": await told("scaled", 4, 2),
        "above the range": await told("scaled", 6, 6),
        "another range": await told("scaled", 6, "3..8"),
        "negative": await told("scaled", 1, -1),
        "of a group": await told("grouped", 2, 2, "one"),
        "of a group, too few": await told("grouped", 2, 1, "one"),
        "stored still": get_run_spec(run).configuration.model_dump()["replicas"],
    }


async def _retried(world: World) -> dict[str, Any]:
    """Counts that are tried while replicas are between two attempts, of three that are wanted."""
    lost = JobTerminationReason.FAILED_TO_START_DUE_TO_NO_CAPACITY
    run = await world.run("retried", replicas=3, counts={"0": 3})
    await world.job(run, 0, **world.in_fleet("near"))
    failed = {"termination_reason": lost}
    await world.job(run, 1, status=JobStatus.FAILED, **failed)
    await world.job(run, 1, status=JobStatus.TERMINATING, submission_num=1, **failed)
    await world.job(run, 2, status=JobStatus.FAILED, **failed)
    # The relief of a move, and one that dstack stopped.
    await world.job(run, 3, status=JobStatus.FAILED, **failed)
    stopped = {"termination_reason": JobTerminationReason.SCALED_DOWN}
    await world.job(run, 4, status=JobStatus.TERMINATED, **stopped)

    async def told(count: int) -> Any:
        asked = answers.PreviewRequest.model_validate(
            {"run_name": "retried", "replicas": {"0": count}, "include_replicas": True}
        )
        found = await previewing.preview_of(world.session, world.project, asked)
        return sorted([row.replica_num, row.new, row.action] for row in found.replicas)

    return {"3": await told(3), "5": await told(5), "2": await told(2)}


async def _removed_group(world: World) -> dict[str, Any]:
    """A replica of a group that an edit took away, and that has no lane yet."""
    groups = [{"name": "one", "replicas": 1, "commands": ["serve"]}]
    run = await world.run("edited", groups=groups, replicas=None, commands=[], counts={"one": 1})
    await world.job(run, 0, "one", **world.in_fleet("near"))
    waiting = await world.job(run, 1, "gone", status=JobStatus.SUBMITTED)
    lost = await world.job(
        run,
        2,
        "gone",
        status=JobStatus.FAILED,
        termination_reason=JobTerminationReason.FAILED_TO_START_DUE_TO_NO_CAPACITY,
    )
    seen = await world.state_of(run, world.project)
    called = []
    model = run

    async def original(context: Any) -> None:
        called.append(context)

    class Context:
        """What the override reads of dstack's context."""

        class run:  # noqa: N801
            run_spec = get_run_spec(run)

        project = world.project
        run_model = model

        class job:  # noqa: N801
            job_spec = running.get_job_spec(waiting)

    answer = await overrides._assignment(original)(Context)
    analysis = _ReplicaAnalysis(2, [lost], {running.RunStatus.FAILED})
    record = await tables.read_record(world.session, run.id)
    token = running.looked_at.set(running.Look(seen, record))
    await running.settle_failure(analysis)
    order = running.in_order_of_lanes("gone", [(0, False, 1, [waiting])])
    running.looked_at.reset(token)
    shown = await looking.placement(world.session, world.project, "edited")
    return {
        "pool": seen.lanes.pool_of("gone"),
        "pool of what stays": (seen.lanes.pool_of("one") or ("?",))[0],
        "answer": [type(answer).__name__, answer.log_message],
        "asked dstack": len(called),
        "failure": [sorted(analysis.contributed_statuses), analysis.needs_retry],
        "order": [str(entry[3][0].id) == str(waiting.id) for entry in order],
        "groups": [group.name for group in shown.groups],
        "replicas": [[replica.group, replica.reason, replica.since] for replica in shown.replicas],
    }


async def _warned(world: World) -> dict[str, Any]:
    """Lanes whose minimums are above the minimum replica count, applied twice and shown."""
    lanes = [{"name": "near", "min_replicas": 3}]
    scaling = {"metric": "rps", "target": 10}
    run = await world.run("warned", fleets=lanes, replicas="1..5", scaling=scaling)
    await world.run("not-warned", replicas="1..5", scaling=scaling)
    plain = await world.run("plain", fleets=["near"])

    class Plan:
        """What the override reads of dstack's plan."""

        def __init__(self, model: RunModel) -> None:
            self.run_spec = get_run_spec(model)

    async def apply(model: RunModel, fails: bool = False) -> list[str]:
        async def original(**asked: Any) -> Any:
            if fails:
                raise ServerClientError("Resource has been changed.")
            return run_model_to_run(model)

        asked = {"session": world.session, "user": world.user, "project": world.project}
        try:
            await applying.apply_plan(original, (), {**asked, "plan": Plan(model)})
        except ServerClientError as error:
            return [str(error)]
        await world.session.commit()
        return await messages(model)

    async def messages(model: RunModel) -> list[str]:
        found = await world.session.execute(
            select(EventModel.message)
            .join(EventTargetModel, EventTargetModel.event_id == EventModel.id)
            .where(EventTargetModel.entity_id == model.id)
        )
        return [*found.scalars()]

    listed = await listing.placements(world.session, world.project, answers.ListRequest())
    shown = await looking.placement(world.session, world.project, "warned")
    asked = answers.PreviewRequest(run_name="warned")
    tried = await previewing.preview_of(world.session, world.project, asked)
    return {
        "once": await apply(run),
        "twice": len(await apply(run)),
        "refused": [await apply(run, fails=True), len(await messages(run))],
        "plain": await apply(plain),
        "list": {each.run_name: each.warnings for each in listed.runs if "warned" in each.run_name},
        "get": [note for note in shown.notes if "min_" in note],
        "preview": [note for note in tried.notes if "min_" in note],
    }


async def _lent(world: World) -> dict[str, Any]:
    """Two runs of two projects, to which one fleet of four nodes has two names."""
    here = await world.run("borrows", fleets=[{"name": "lender/lent", "min_replicas": 1}])
    there = await world.run(
        "lends", project=world.lender, fleets=[{"name": "lent", "min_replicas": 1}]
    )
    now = get_current_datetime()
    for number in range(3):
        waits = await world.job(there, number, status=JobStatus.SUBMITTED)
        await world.promise(waits, "lent", now)
    old = await world.job(there, 3, status=JobStatus.SUBMITTED)
    await world.promise(old, "lent", now - 2 * state.KEPT)
    mine = await world.job(here, 0, status=JobStatus.SUBMITTED)
    borrowed = await world.state_of(here, world.project)
    before = borrowed.service.rooms["lender/lent"].more
    await world.promise(mine, "lender/lent", now)
    own = await world.state_of(there, world.lender)
    return {
        "borrower sees": before,
        "lender sees": own.service.rooms["lent"].more,
        "elsewhere": await state._kept_elsewhere(
            world.session, uuid.uuid4(), {world.fleets["lent"].id: "any/name"}, now
        ),
    }


async def _ended(world: World) -> dict[str, Any]:
    """A run with a minimum that nothing is left of."""
    lanes = [{"name": "near", "min_replicas": 2}]
    for status in (RunStatus.FAILED, RunStatus.TERMINATING, RunStatus.RUNNING):
        await world.run(f"run-{status.value}", fleets=lanes, status=status, counts={"0": 2})
    ended = await looking.placement(world.session, world.project, "run-failed")
    ending = await looking.placement(world.session, world.project, "run-terminating")
    lives = await looking.placement(world.session, world.project, "run-running")
    return {
        "ended": json.loads(ended.model_dump_json()),
        "ending": [ending.notes, ending.lanes, [group.desired for group in ending.groups]],
        "rebalancing": [rebalancing._begin(1), rebalancing._begin(2)],
        "after an edit": await _rebalanced(world),
        "lives": [[lane.fleet, lane.deficit] for lane in lives.lanes],
    }


async def _rebalanced(world: World) -> list[bool]:
    """Whether a rebalancing goes on when a look at its run ends that began before an edit."""
    run = await world.run("moves", counts={"0": 2})
    for number in range(2):
        await world.job(run, number, **world.in_fleet("far"))
    left = []

    async def edit(priority: int) -> state.RunState:
        spec = json.loads(run.run_spec)
        spec["configuration"]["fleets"] = [{"name": "near", "priority": priority}, "far"]
        run.run_spec = json.dumps(spec)
        await world.session.commit()
        return await world.state_of(run, world.project)

    async def ends(look: state.RunState) -> None:
        await rebalancing.go_on(world.session, run, look, look.service)
        await world.session.commit()
        row = await world.session.get(tables.RebalanceRow, run.id, populate_existing=True)
        left.append(row is not None)

    before = await edit(2)
    asked_for = await edit(3)
    edition = rebalancing._edition(asked_for.lanes)
    now = get_current_datetime()
    world.session.add(tables.RebalanceRow(run_id=run.id, since=now, edition=edition, left=2))
    await ends(before)
    await ends(asked_for)
    await ends(await edit(4))
    return left


async def _editions(world: World) -> dict[str, Any]:
    """Whose cooldowns are over after edits of lanes and of a fleet."""
    run = await world.run("cools")
    now = get_current_datetime()
    before = (await world.state_of(run, world.project)).editions
    for (pool, fleet), edition in before.items():
        session = world.session
        row = {"run_id": run.id, "pool": pool, "fleet": fleet, "edition": edition, "since": now}
        until = now + timedelta(minutes=1)
        session.add(tables.CooldownRow(**row, failures=1, until=until, cause="no capacity"))
    await world.session.commit()

    async def cooling() -> list[str]:
        found = await world.state_of(run, world.project)
        return sorted(fleet for _, fleet in found.service.cooldowns)

    told = {"at first": await cooling()}
    far = world.fleets["far"]
    spec = json.loads(far.spec)
    spec["configuration"]["idle_duration"] = 7
    far.spec = json.dumps(spec)
    await world.session.commit()
    told["fleet edited"] = await cooling()
    stored = json.loads(run.run_spec)
    stored["configuration"]["fleets"][0]["priority"] = 5
    stored["merged_profile"] = None
    run.run_spec = json.dumps({key: value for key, value in stored.items() if value is not None})
    await world.session.commit()
    told["lanes edited"] = await cooling()
    return told


async def _deficits(world: World) -> dict[str, Any]:
    """Since when a lane is below its minimum, whose replica ended there some time ago."""
    fell = get_current_datetime() - timedelta(minutes=7)
    told = {}
    for name, before in (("lost", "near"), ("never held", "far")):
        run = await world.run(name.replace(" ", "-"), counts={"0": 2})
        ended = {**world.in_fleet(before), "status": JobStatus.FAILED}
        await world.job(run, 0, **ended, last_processed_at=fell)
        await world.job(
            run,
            0,
            status=JobStatus.TERMINATED,
            termination_reason=JobTerminationReason.FAILED_TO_START_DUE_TO_NO_CAPACITY,
            submission_num=1,
        )
        await world.job(run, 0, **world.in_fleet("far"), submission_num=2)
        await world.job(run, 1, **world.in_fleet("far"))
        seen = await world.state_of(run, world.project)
        full = {"near": Room(0)}
        plan = next_actions(replace(seen.service, rooms=full), now=seen.now)
        await deficits.tell_deficits(world.session, run, plan, seen)
        await world.session.commit()
        (row,) = await world.session.scalars(
            select(tables.DeficitRow).where(tables.DeficitRow.run_id == run.id)
        )
        told[name] = [row.fleet, row.missing, row.since == fell, row.since == seen.now]
    return told


#: What is found out, each with a database of its own, by what it is called.
Parts = dict[str, Callable[["World"], Awaitable[dict[str, Any]]]]
PARTS: Parts = {
    "previews": _previews,
    "retried": _retried,
    "removed group": _removed_group,
    "warned": _warned,
    "lent": _lent,
    "ended": _ended,
    "editions": _editions,
    "deficits": _deficits,
}


async def found_out(parts: Parts, folder: str) -> dict[str, Any]:
    """What parts find, by their names."""
    told = {}
    for number, (name, part) in enumerate(parts.items()):
        async with made(Database(f"sqlite+aiosqlite:///{folder}/{number}.sqlite")) as session:
            told[name] = await part(await World(session).make())
    return told


def main(folder: str) -> dict[str, Any]:
    """What is found, with databases in a folder."""
    return asyncio.run(found_out(PARTS, folder))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:]), default=str))
