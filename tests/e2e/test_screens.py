"""Every screen against a real server with the demo on it."""

from __future__ import annotations

import pytest
from textual.widgets import Static

from dstack_fleets_tui.screens.fleet import FleetScreen
from dstack_fleets_tui.screens.fleets import FleetsScreen
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_fleets_tui.screens.services import ServicesScreen
from dstack_fleets_tui.screens.trouble import TroubleScreen
from dstack_simulator.handle.handle import Handle
from dstack_widgets.panels.facts import Facts, YamlView
from dstack_widgets.panels.findings import Findings
from dstack_widgets.panels.flow import Flow
from dstack_widgets.screen.status_header import StatusHeader
from dstack_widgets.table.cells import plain_text
from tests.servers.commands import SECRET
from tests.servers.dashboards import shown
from tests.servers.demo_dashboard import complete, dashboard, opened, rows, table
from tests.waiting import until

pytestmark = pytest.mark.e2e


async def test_fleets(demo_sim: Handle):
    async with dashboard(demo_sim) as (app, _):
        await complete(app)
        await until(lambda: table(app).row_count == 4, what="the four fleets")
        await until(
            # A replica that a busy machine has lost is started again.
            lambda: rows(app, "fleet")["edge-l4"]["replicas"] == "3",
            limit=60,
            what="three replicas in edge-l4",
        )
        fleets = rows(app, "fleet")
        assert list(fleets) == ["edge-l4", "gpu-reserved", "gpu-spot", "lab-h100"]
        assert {name: shown["kind"] for name, shown in fleets.items()} == {
            "edge-l4": "cloud",
            "gpu-reserved": "cloud",
            "gpu-spot": "cloud",
            "lab-h100": "ssh",
        }
        assert fleets["gpu-reserved"]["nodes"] == "2..4 (3)"
        assert fleets["gpu-reserved"]["price"] == "294.96"
        assert fleets["gpu-reserved"]["gpu"] == "H100 8/24"
        assert "1 busy  2 idle" in fleets["gpu-reserved"]["instances"]
        assert fleets["gpu-spot"]["spot"] == "spot"
        (host,) = (await demo_sim.fleet("edge-l4"))["instances"]
        assert fleets["edge-l4"]["gpu"] == f"L4 {host['busy_blocks']}/8"
        assert fleets["lab-h100"]["nodes"] == "4"
        assert "0.22.5" in app.screen.query_one(StatusHeader).text


async def test_a_fleet_with_its_instances_and_everything_its_configuration_says(
    demo_sim: Handle,
):
    async with dashboard(demo_sim) as (app, pilot):
        await opened(app, pilot, FleetScreen, "lab-h100")
        await until(lambda: table(app).row_count == 4, what="four hosts")
        hosts = rows(app, "num")
        assert sorted(hosts) == ["0", "1", "2", "3"]
        assert all(host["gpu"] == "H100:8" for host in hosts.values())
        assert [host["health"] for host in hosts.values()].count("! warning") == 1
        runs = ", ".join(host["runs"] for host in hosts.values())
        for name in ("chat-70b router 0", "chat-70b prefill 1", "chat-70b decode 2"):
            assert name in runs
        assert "finetune-lora (task, admin)" in runs

        await pilot.press("c")
        facts = app.screen.query_one("#configuration", Facts)
        await until(lambda: facts.facts, what="the configuration")
        shown = {fact.name: plain_text(fact.value) for fact in facts.facts}
        assert shown["kind"] == "SSH hosts"
        assert shown["env NCCL_SOCKET_IFNAME"] == shown["env HF_TOKEN"] == "********"
        assert len([name for name in shown if name.startswith("host ")]) == 4
        await pilot.press("y")
        yaml = app.screen.query_one(YamlView)
        await until(lambda: "ssh_config:" in yaml.text, what="the YAML")
        assert SECRET not in yaml.text


async def test_a_cloud_fleet_says_what_it_allows(demo_sim: Handle):
    async with dashboard(demo_sim) as (app, pilot):
        await opened(app, pilot, FleetScreen, "gpu-reserved")
        await pilot.press("c")
        facts = app.screen.query_one("#configuration", Facts)
        await until(lambda: facts.facts, what="the configuration")
        shown = {fact.name: plain_text(fact.value) for fact in facts.facts}
        assert shown["placement"] == "cluster"
        assert shown["nodes"] == "2..4"
        assert shown["target"] == "3"
        assert shown["reservation"] == "cr-0f3a91c2d4"
        assert shown["gpu"] == "H100:8"
        assert shown["idle duration"] == "off"
        assert shown["tags team"] == "serving"


async def test_services(demo_sim: Handle):
    async with dashboard(demo_sim) as (app, pilot):
        await pilot.press("2")
        await until(lambda: isinstance(app.screen, ServicesScreen))
        await complete(app)
        await until(lambda: table(app).row_count == 5, what="the five services")
        services = rows(app, "service")
        # What has ended stands last.
        assert list(services) == ["chat-70b", "embed", "summarize", "vision", "rerank"]
        assert services["rerank"]["status"].endswith("failed")
        chat = services["chat-70b"]
        assert (chat["wanted"], chat["running"], chat["ready"]) == ("4", "4", "4")
        assert chat["router"].startswith("smg")
        assert chat["priority"] == "50"
        assert chat["fleets"].endswith("lab-h100 4")
        assert services["summarize"]["wanted"] == "1 of 1..4"
        assert services["vision"]["price"] == "62.10"


async def test_a_service_with_its_replicas(demo_sim: Handle):
    async with dashboard(demo_sim) as (app, pilot):
        await pilot.press("2")
        await opened(app, pilot, ServiceScreen, "chat-70b")
        await pilot.press("r")
        await until(lambda: table(app).row_count == 4, what="four replicas")
        replicas = rows(app, "replica")
        groups = [replicas[number]["group"] for number in "0123"]
        assert groups == ["router", "prefill", "decode", "decode"]
        for replica in replicas.values():
            assert replica["fleet"] == "lab-h100"
            assert replica["state"].endswith("running")
            assert replica["probes"].endswith("ready")
            assert replica["instance"] != "–"
        assert "groups router 1/1 (smg), prefill 1/1, decode 2/2" in (
            app.screen.query_one(Flow).text
        )
        await pilot.press("y")
        yaml = app.screen.query_one(YamlView)
        await until(lambda: "type: service" in yaml.text, what="the YAML")
        assert SECRET not in yaml.text


async def test_a_service_spread_over_fleets_and_groups(demo_sim: Handle):
    async with dashboard(demo_sim) as (app, pilot):
        await pilot.press("2")
        await opened(app, pilot, ServiceScreen, "chat-70b")
        await until(lambda: table(app).row_count, what="the one fleet")
        (shown,) = rows(app, "fleet").values()
        assert (shown["fleet"], shown["target"], shown["ready"]) == ("lab-h100", "4", "4")
        groups = ("group router", "group prefill", "group decode")
        assert [shown[group] for group in groups] == ["1", "1", "2"]
        assert shown["running"] == "████     4"
        findings = app.screen.query_one("#distribution Findings", Findings)
        assert "no placement add-on" in findings.findings[0].text
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, FleetScreen), what="the fleet")


async def test_a_router_read_over_ssh_with_its_workers(demo_sim: Handle):
    async with dashboard(demo_sim) as (app, pilot):
        await pilot.press("2")
        await opened(app, pilot, ServiceScreen, "chat-70b")
        await pilot.press("o")
        await until(lambda: "  in sync" in rows(app, "sync"), limit=30, what="the router's list")
        line = app.screen.query_one("#router Flow", Flow)
        await until(lambda: "3 of 3 workers ready" in line.text, limit=30, what="every worker")
        assert "read over SSH" in line.text
        workers = rows(app, "replica")
        assert sorted(workers) == ["decode 2", "decode 3", "prefill 1"]
        for worker in workers.values():
            assert worker["router"] == "● ready"
            assert worker["dstack"] == "● running"
            assert worker["address"].endswith(":8000")
        assert workers["prefill 1"]["role"] == "prefill"


async def test_a_rollout_that_is_over(demo_sim: Handle):
    async with dashboard(demo_sim) as (app, pilot):
        await pilot.press("2")
        await opened(app, pilot, ServiceScreen, "vision")
        await pilot.press("t")
        await until(lambda: table(app).row_count, what="the deployment")
        assert [shown["ready"] for shown in rows(app, "deployment").values()] == ["2"]
        assert "2/2 replicas" in app.screen.query_one("#rollout Flow", Flow).text


async def test_a_failed_replica_says_how_it_ended(demo_sim: Handle):
    async with dashboard(demo_sim) as (app, pilot):
        await pilot.press("2")
        await opened(app, pilot, ServiceScreen, "rerank")
        await pilot.press("r")
        await until(lambda: table(app).row_count == 1, what="the replica")
        replica = rows(app, "replica")["0"]
        assert replica["state"].endswith("failed")
        assert replica["message"] == "exited (3)"
        summary = app.screen.query_one("#summary", Static)
        await until(lambda: "exit status 3" in str(summary.content), what="how it ended")


async def test_a_failed_replica_shows_its_restart(demo_sim: Handle):
    async with dashboard(demo_sim) as (app, pilot):
        await pilot.press("2")
        await opened(app, pilot, ServiceScreen, "embed")
        await pilot.press("r")
        await until(lambda: table(app).row_count == 3, what="three replicas")
        restarts = [shown["restarts"] for shown in rows(app, "replica").values()]
        assert max(restarts) == "1"


async def test_a_change_by_another_client_comes_on_screen(demo_sim: Handle):
    await demo_sim.apply({"type": "fleet", "name": "new-fleet", "nodes": "0..1"})
    try:
        async with dashboard(demo_sim) as (app, _):
            await complete(app)
            await until(lambda: "new-fleet" in rows(app, "fleet"), what="the new fleet")
            await demo_sim.delete_fleet("new-fleet")
            await until(lambda: "new-fleet" not in rows(app, "fleet"), limit=20, what="its end")
    finally:
        if "new-fleet" in {f["name"] for f in await demo_sim.api("/api/fleets/list", {})}:
            await demo_sim.delete_fleet("new-fleet")


async def test_a_server_that_goes_away_is_said_and_it_comes_back_by_itself(demo_sim: Handle):
    async with dashboard(demo_sim) as (app, _):
        await complete(app)

        def header():
            return app.screen.query_one(StatusHeader).text

        await until(lambda: "live" in header())
        await demo_sim.faults.server_cut()
        try:
            await until(lambda: "stale since" in header(), limit=30, what="stale")
            assert table(app).row_count == 4
        finally:
            await demo_sim.faults.server_cut(on=False)
        await until(lambda: "live" in header(), limit=30, what="live again")


async def test_a_wrong_token_is_said_with_how_to_fix_it(demo_sim: Handle):
    async with dashboard(demo_sim, token="wrong") as (app, _):
        await shown(app, TroubleScreen)
        what = str(app.screen.query_one("#what", Static).content)
        assert "token" in what
        assert "wrong" not in what
        assert str(app.screen.query_one("#todo", Static).content)


async def test_an_unknown_project_is_said_with_how_to_fix_it(demo_sim: Handle):
    async with dashboard(demo_sim, project="nowhere") as (app, pilot):
        await shown(app, TroubleScreen)
        await until(lambda: app.screen.query("#what"), what="what happened")
        what = app.screen.query_one("#what", Static)
        await until(lambda: "nowhere" in str(what.content), what="the project")
        await pilot.press("q")
        await until(lambda: not app.is_running)


async def test_an_empty_project_says_so(empty_sim: Handle):
    async with dashboard(empty_sim) as (app, _):
        await complete(app)
        await until(lambda: table(app).empty_text == f"No fleets in {empty_sim.project}.")
        assert isinstance(app.screen, FleetsScreen)
