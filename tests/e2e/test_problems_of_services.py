"""Every problem of fleets, services and replicas that a real server can be brought to have.

Each is produced and cleared again, read off the Problems screen and out of what `get problems`
prints.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, TypeVar

import pytest
import pytest_asyncio

from dstack_api_client.model.labels import lane_row
from dstack_fleets_tui.screens.problems import ProblemsScreen
from dstack_fleets_tui.screens.service.distribution import DistributionView
from dstack_fleets_tui.screens.service.rollout import RolloutView
from dstack_fleets_tui.screens.service.view import ServiceView
from dstack_simulator.handle.handle import Handle
from dstack_simulator.scenarios.scenario import Scenario
from dstack_widgets.table.cells import plain_text
from tests.builders.generation import longest
from tests.conftest import project_name
from tests.servers.lanes import ENDED
from tests.servers.problem_sights import Eyes, eyes, key_of, wrong_now
from tests.servers.routed_services import WHOLE, group, service
from tests.servers.sharing import emptied
from tests.servers.stopping import stopped
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ENGINE = "vllm serve acme/vision --port 8000"
PROBES = [{"type": "http", "url": "/health", "interval": "5s", "timeout": "30s", "ready_after": 1}]
#: A region that has no room as long as a fleet wants some there.
DRY = "us-west-2"
V = TypeVar("V", bound=ServiceView)


def steady(failing: str) -> list[dict[str, Any]]:
    """A replica that is well, so that dstack starts the other one again without waiting."""
    return [group("good", ENGINE), group("bad", failing)]


def cloud(name: str, nodes: str | dict[str, int], region: str = "us-east-1") -> dict[str, Any]:
    return {
        "type": "fleet",
        "name": name,
        "nodes": nodes,
        "backends": ["aws"],
        "regions": [region],
        "idle_duration": "off",
        "resources": {"gpu": "H100:8"},
    }


def scenario() -> Scenario:
    gpu = {"memory_gib": 80, "count": 8}
    size = {"cpus": 96, "memory_gib": 1024, "disk_gib": 2000, "gpu": {"name": "H100", **gpu}}
    small = [{"hostname": f"small-{number}", "blocks": 8} for number in (1, 2)]
    lab = {"type": "fleet", "name": "lab", "ssh_config": {"hosts": small}}
    rack = {
        "type": "fleet",
        "name": "rack",
        "ssh_config": {"hosts": [f"rack-{number}" for number in (1, 2, 3)]},
    }
    vision = service("vision", group("only", ENGINE, 2), probes=PROBES, model=None)
    shaky = service("shaky", *steady("sleep 1; exit 1"), model=None)
    # The one node that its fleet may have is enough for one of two.
    lone = service("lone", group("only", ENGINE, resources=WHOLE), fleets=["burst"], model=None)
    offer = {
        "instance_type": "p5.48xlarge",
        **size,
        "regions": {"us-east-1": {"on_demand": 98.32}, DRY: {"on_demand": 98.32}},
    }
    return Scenario.model_validate(
        {
            "description": "Fleets and services with problems",
            "hosts": [
                {"name": "small", "count": 2, **size},
                {"name": "rack", "count": 3, **size},
            ],
            "cloud": {"start_seconds": 0.5, "offers": [offer]},
            "steps": [
                {"apply": lab},
                {"apply": rack},
                {"apply": cloud("burst", "0..1")},
                {"until": {"fleets": {"lab": {"instances": {"idle": 2}}}}},
                *({"apply": each} for each in (vision, shaky, lone)),
            ],
            "expect": {
                "runs": {
                    "vision": {"replicas": {"running": 2}, "ready": 2},
                    "shaky": {"restarted": 1},
                    "lone": {"ready": 1},
                }
            },
        }
    )


@pytest_asyncio.fixture(scope="module")
async def sim(addon_server: Handle, request: pytest.FixtureRequest) -> AsyncIterator[Handle]:
    project = await addon_server.add_project(project_name(request, "addon"), scenario())
    await project.settled()
    yield project
    await emptied(project)


async def leads_to(seen: Eyes, key: str, kind: type[V]) -> V:
    """Jumps from a problem to where it is."""
    screen = seen.app.screen
    assert isinstance(screen, ProblemsScreen)
    screen.open(key)

    def there() -> V | None:
        found = seen.app.screen.query(kind)
        return found.first() if found and found.first().table.row_count else None

    view: V = await until(there, limit=20, what=kind.__name__)
    return view


def cells(view: ServiceView, key: str) -> dict[str, str]:
    shown = zip(view.table.columns, view.table.get_cells(key), strict=True)
    return {column.key: plain_text(cell).strip() for column, cell in shown}


@longest
async def test_a_replica_that_is_started_again_and_again(sim: Handle) -> None:
    restarting = await key_of(sim, "replica", "shaky", "restarting")
    # Whoever has been up for ten minutes is none any more, so the clock is the real one.
    async with eyes(sim, timedelta()) as seen:
        item = await seen.both(restarting, "started")
        assert (item["severity"], item["kind"], item["service"]) == ("warning", "replica", "shaky")
        assert "log lines" in item["hint"]
    await sim.touch_run("shaky", groups=steady(ENGINE))

    async def well() -> bool:
        run = await sim.run("shaky")
        latest = [job["job_submissions"][-1] for job in run["jobs"]]
        return Counter(
            (each["status"], each["deployment_num"])
            for each in latest
            if each["status"] not in ENDED
        ) == {("running", run["deployment_num"]): 2}

    await until(well, limit=120, every=0.5, what="both replicas run what does not fail")
    # dstack goes on with a new replica, or with one more submission of the old one: that one is
    # restarting until it has been up for ten minutes.
    async with eyes(sim) as seen:
        await seen.neither(restarting)


@longest
async def test_a_replica_that_finds_no_place(sim: Handle) -> None:
    """It is one problem, with one key, from one attempt of dstack to the next."""
    pending = await key_of(sim, "replica", "lone", "pending")

    async def attempts() -> int:
        run = await sim.run("lone")
        return max(job["job_submissions"][-1]["submission_num"] for job in run["jobs"])

    async with eyes(sim, timedelta()) as seen:
        await seen.neither(pending)
        await sim.touch_run("lone", groups=[group("only", ENGINE, 2, resources=WHOLE)])
        item = await seen.both(pending, "only 1: no place yet")
        assert (item["severity"], item["kind"], item["service"]) == ("warning", "replica", "lone")
        assert "goes on looking" in item["hint"]
        began = await attempts()

        async def two_more() -> bool:
            found = await seen.printed()
            of_it = [each for each in found.values() if each["service"] == "lone"]
            assert [each["key"] for each in of_it] == [item["key"]], of_it
            return await attempts() >= began + 2

        await until(two_more, limit=120, every=0.3, what="two more attempts")
        (now,) = await asyncio.to_thread(wrong_now, sim, "lone", 4)
        assert now["key"] == item["key"]
        await sim.touch_run("lone", groups=[group("only", ENGINE, resources=WHOLE)])
        await seen.neither(pending)


@longest
async def test_a_rollout_that_a_probe_holds_up(sim: Handle) -> None:
    rollout = await key_of(sim, "rollout", "vision", "only")
    async with eyes(sim) as seen:
        await seen.neither(rollout)
        await sim.touch_run("vision", groups=[group("only", f"sleep 600; {ENGINE}", 2)])
        words = "is not ready: it runs, and probe 1 has 0 of 1 successes"
        item = await seen.both(rollout, words)
        assert (item["severity"], item["kind"], item["service"]) == ("warning", "rollout", "vision")
        assert item["text"].startswith("rollout of only stuck at 1 of ")
        view = await leads_to(seen, item["key"], RolloutView)
        latest, older = (cells(view, key) for key in view.table.keys)
        assert (latest["ready"], older["ready"]) == ("0", "2")
        assert "under way" in view.line.text
        assert any(words in finding.text for finding in view.findings.findings)
        seen.app.pop_screen()
        await sim.touch_run("vision", groups=[group("only", ENGINE, 2)])
        await seen.neither(rollout)


async def test_what_goes_wrong_with_fleets_services_and_their_replicas(sim: Handle) -> None:
    """All of it at the same time, since each takes its while to come and to go."""

    def two_lanes(least: int) -> list[dict[str, Any]]:
        return [{"name": "tiny", "min_replicas": least, "priority": 10}, {"name": "wide"}]

    async def fleet(name: str) -> str:
        found: str = (await sim.fleet(name))["id"]
        return found

    async def run(name: str) -> str:
        found: str = (await sim.run(name))["id"]
        return found

    one = {"model": None, "retry": None}
    names = ("nap", "tiny", "wide")
    await sim.faults.no_capacity(DRY)
    for each_fleet in (*(cloud(name, "0..1") for name in names), cloud("few", "1..1", DRY)):
        await sim.apply(each_fleet)
    lanes = service("held", group("only", ENGINE, 2, resources=WHOLE), fleets=two_lanes(2), **one)
    await sim.apply({**lanes, "spot_policy": "auto"})
    await sim.apply(service("broken", group("only", "exit 3"), **one))
    await sim.apply(service("again", group("only", "exit 4"), model=None))
    await sim.faults.host_health("rack-1", "failure", "GPU 3 fell off the bus")
    await sim.faults.host_health("rack-2", "warning", "GPU 5 has remapped rows")
    await sim.faults.host_unreachable("rack-3")
    await sim.faults.worker_unhealthy("vision-0-0")
    rack, broken = await fleet("rack"), await run("broken")
    baseline = f"baseline:{await run('held')}::tiny"
    late = service("late", group("only", ENGINE, resources=WHOLE), fleets=["nap"], **one)
    async with eyes(sim) as seen:
        wanted = {
            f"health failure:{rack}": "health failure",
            f"health warning:{rack}": "health warning",
            f"unreachable:{rack}": "unreachable",
            f"nodes:{await fleet('few')}": "0 of at least 1 node",
            f"replica:{await run('again')}:failed": "only 0: failed",
            f"replica:{await run('vision')}:unready": "probe 1 has 0 of 1 successes",
            f"service:{broken}": "failed",
            baseline: "tiny: baseline 1 of 2: tiny has no room",
        }
        await seen.all_of(wanted)
        # Last, and held where they are: the others would be held up too.
        await sim.faults.slow_start(600)
        await sim.apply(late)
        wanted |= {
            f"not up yet:{await fleet('nap')}": "not up yet",
            f"replica:{await run('late')}:starting": "only 0: not ready",
        }
        found = await seen.all_of(wanted)
        assert [(item["severity"], item["kind"]) for item in (found[key] for key in wanted)] == [
            ("warning", "instance"),
            ("notice", "instance"),
            ("warning", "instance"),
            ("warning", "fleet"),
            ("critical", "replica"),
            ("warning", "replica"),
            ("critical", "service"),
            ("critical", "baseline"),
            ("critical", "instance"),
            ("critical", "replica"),
        ]
        assert next(iter(seen.on_screen().values()))["severity"].endswith("critical")
        view = await leads_to(
            seen, next(key for key in wanted if "::tiny" in key), DistributionView
        )
        lane = cells(view, lane_row("", "tiny"))
        assert (lane["min"], lane["target"], lane["priority"]) == ("2", "1", "10")
        assert lane["why"].startswith("BASELINE 1 of 2 for ")
        assert set(view.table.keys) == {lane_row("", "tiny"), lane_row("", "wide"), "total"}
        seen.app.pop_screen()

        await sim.faults.slow_start(0)
        await sim.faults.no_capacity(DRY, on=False)
        await sim.apply(cloud("few", "0..1", DRY))
        for host in ("rack-1", "rack-2"):
            await sim.faults.host_health(host, "healthy")
        await sim.faults.host_back("rack-3")
        await sim.faults.worker_unhealthy("vision-0-0", on=False)
        await sim.apply(service("broken", group("only", ENGINE), **one))
        await sim.touch_run("held", fleets=two_lanes(1))
        # The next try of the one is minutes off by now. What the other leaves is idle then, once it
        # has run there, and costs as long as nobody gives it back.

        async def late_runs() -> bool:
            return bool((await sim.run("late"))["status"] == "running")

        await until(late_runs, limit=60, every=0.5, what="late runs")
        await asyncio.gather(stopped(sim, "again"), stopped(sim, "late"))
        idle = f"idle:{await fleet('nap')}"
        (item,) = (await seen.all_of({idle: "1 instance idle above the minimum of 0"})).values()
        assert (item["severity"], item["price_per_hour"]) == ("notice", 98.32)
        assert "idle_duration is off" in item["hint"]
        await sim.api("fleets/delete_instances", {"name": "nap", "instance_nums": [0]})
        await seen.none_of({*wanted, idle})
    assert await run("broken") != broken
    assert wrong_now(sim, "broken", 0) == []
