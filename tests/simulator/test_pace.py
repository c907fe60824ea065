"""A server at a quick pace: which intervals of dstack are shorter, and that nothing starves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.servers.lanes import in_process

_PIPELINES = """
from datetime import datetime, timedelta
from types import SimpleNamespace
from dstack._internal.server import bootstrap
bootstrap.set_up_process()
from dstack._internal.server.background import scheduled_tasks
from dstack._internal.server.background.pipeline_tasks import PipelineManager
from dstack._internal.server.background.pipeline_tasks import jobs_terminating
from dstack._internal.server.background.pipeline_tasks.runs import pending
from dstack_simulator.launch.pace import quicken

def look():
    found = {}
    for pipeline in PipelineManager()._pipelines:
        interval = pipeline._min_processing_interval
        found[type(pipeline).__name__] = {
            "moving": interval.total_seconds(),
            "still": (interval * 2).total_seconds(),
            "fetches": pipeline._fetcher._fetch_delays,
            "locked": pipeline._lock_timeout.total_seconds(),
        }
    trigger = scheduled_tasks.IntervalTrigger
    return {
        "pipelines": found,
        "probes": trigger(seconds=3, jitter=1).interval.total_seconds(),
        "volumes": trigger(seconds=60, jitter=10).interval.total_seconds(),
        "offers": trigger(minutes=10).interval.total_seconds(),
        "retry": pending._PENDING_RETRY_DELAYS[0].total_seconds(),
        "ended": jobs_terminating.JOB_TERMINATION_DEADLINE.total_seconds(),
    }

answer = {"real": look()}
quicken()
answer["quick"] = look()

import asyncio, sqlite3, tempfile, time
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from dstack_simulator.launch import fetches

async def spared():
    file = tempfile.mkdtemp() + "/a b.sqlite"
    with sqlite3.connect(file) as database:
        database.executescript("PRAGMA journal_mode=WAL; CREATE TABLE work (due TEXT)")
    engine = create_async_engine("sqlite+aiosqlite:///" + file)
    looks = []

    class Fetcher:
        async def fetch(self, limit):
            looks.append(limit)
            now = datetime.fromtimestamp(clock[0]).isoformat(" ", "microseconds")
            async with engine.connect() as connection:
                asked = text("SELECT due FROM work WHERE due <= :now LIMIT :limit")
                found = await connection.execute(asked, {"now": now, "limit": limit})
                return [row.due for row in found]

    fetcher, clock = Fetcher(), [time.time()]
    fetches.spare(fetcher)
    fetches.time = SimpleNamespace(time=lambda: clock[0])
    due = datetime.fromtimestamp(clock[0] + 60).isoformat(" ", "microseconds")
    nothing = [await fetcher.fetch(limit=2) for _ in range(3)]
    with sqlite3.connect(file) as database:
        database.execute("INSERT INTO work VALUES (?)", [due])
    early = await fetcher.fetch(limit=2)
    looked = len(looks)
    clock[0] += 61
    found = [len(await fetcher.fetch(limit=2)) for _ in range(2)]
    with sqlite3.connect(file) as database:
        database.execute("DELETE FROM work")
    after = [await fetcher.fetch(limit=2) for _ in range(2)]
    with sqlite3.connect(file) as database:
        database.execute("ALTER TABLE work RENAME TO moved")
        database.execute("CREATE TABLE work (due TEXT, more TEXT)")
        database.execute("INSERT INTO work VALUES (?, ?)", [due, ""])
    return {
        "nothing": nothing + [early],
        "looked": looked,
        "found": found,
        "after": after,
        "looks": len(looks),
        "of another table": len(await fetcher.fetch(limit=2)),
    }

answer["spared"] = asyncio.run(spared())
"""


@dataclass(frozen=True)
class _Paces:
    real: dict[str, Any]
    quick: dict[str, Any]
    spared: dict[str, Any]


@pytest.fixture(scope="module")
def paces() -> _Paces:
    return _Paces(**in_process(_PIPELINES))


def test_what_is_on_its_way_is_looked_at_more_often(paces: _Paces) -> None:
    for name in ("RunPipeline", "JobSubmittedPipeline", "JobRunningPipeline", "InstancePipeline"):
        real, quick = paces.real["pipelines"][name], paces.quick["pipelines"][name]
        assert quick["moving"] < real["moving"] / 3, name
        assert quick["fetches"][-1] < real["fetches"][-1] / 3, name


def test_schedules_and_waits_of_seconds_are_shorter_and_others_are_not(paces: _Paces) -> None:
    assert (paces.real["probes"], paces.quick["probes"]) == (3, 1.5)
    assert paces.quick["volumes"] == paces.real["volumes"] == 60
    assert paces.quick["offers"] == paces.real["offers"] == 600
    assert paces.quick["retry"] < paces.real["retry"]
    assert (paces.real["ended"], paces.quick["ended"]) == (30, 12)


def test_work_is_looked_for_when_there_is_some(paces: _Paces) -> None:
    spared = paces.spared
    assert (spared["nothing"], spared["looked"]) == ([[]] * 4, 1)
    assert spared["found"] == [1, 1], "its time has come"
    assert (spared["after"], spared["looks"]) == ([[]] * 2, 3)
    assert spared["of another table"] == 1


def test_locks_last_as_long_as_ever(paces: _Paces) -> None:
    def locked(pace: dict[str, Any]) -> dict[str, float]:
        return {name: each["locked"] for name, each in pace["pipelines"].items()}

    assert locked(paces.quick) == locked(paces.real)


@pytest.mark.parametrize(
    ("whole", "part"),
    [("RunPipeline", "JobRunningPipeline"), ("FleetPipeline", "InstancePipeline")],
)
def test_a_look_at_the_whole_is_no_more_frequent_than_one_at_its_parts(
    paces: _Paces, whole: str, part: str
) -> None:
    # It counts as one at each part, which would never have its turn.
    pipelines = paces.quick["pipelines"]
    often = pipelines[whole]["moving" if whole == "FleetPipeline" else "still"]
    assert often >= pipelines[part]["still"]
