from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from dstack_api_client.feed.update import ConnectionState
from dstack_api_client.model.every_run import run_message
from dstack_api_client.model.replica import Link
from dstack_api_client.problems.watch import problems_of
from tests.builders import answers
from tests.builders.followed_feed import following, small, submission_of
from tests.servers.fake_server import FakeServer


def takes_time(server: FakeServer, seconds: float) -> None:
    """Has each answer take so long."""

    def answered(path: str) -> None:
        server.now += seconds

    server.fail = answered


@pytest.mark.parametrize(("seconds", "most"), [(0.5, 9), (0.05, 3), (0.0, 2)])
async def test_everything_is_shown_twice_a_second_while_it_is_read(
    seconds: float, most: int
) -> None:
    server = small()
    for number in range(20, 45):
        server.runs.append(answers.run(number, answers.job(0), name=f"more-{number}"))
    takes_time(server, seconds)
    async with following(server) as followed:
        began = server.now
        updates = await followed.poll()
        assert 2 <= len(updates) <= most
        assert len(updates) <= (server.now - began) * 2 + 2
        assert not updates[0].snapshot.complete  # the first page at once
        assert updates[-1].snapshot.complete


async def test_the_first_poll_reads_everything_and_shows_it_as_it_comes() -> None:
    server = small()
    takes_time(server, 0.5)
    for number in range(20, 45):
        server.runs.append(answers.run(number, answers.job(0), name=f"more-{number}"))
    async with following(server) as followed:
        assert followed.feed.health.state is ConnectionState.CONNECTING
        updates = await followed.poll()
    snapshots = [update.snapshot for update in updates]
    assert all(snapshot is not None for snapshot in snapshots)
    assert [s.complete for s in snapshots if s] == [False] * (len(updates) - 1) + [True]
    counts = [len(s.services) for s in snapshots if s]
    assert counts == sorted(counts)
    assert len(set(counts)) > 2
    assert counts[-1] == 29
    assert len(followed.snapshot.fleets) == 2
    assert len(followed.snapshot.other_runs) == 1
    assert followed.snapshot.services[answers.ident(10_009)].finished
    added = [key for update in updates for key in update.difference.services.added]
    assert sorted(added) == sorted(followed.snapshot.services)
    assert updates[-1].health.state is ConnectionState.LIVE
    assert followed.feed._client.meter.requests == sum(server.asked.values())


async def test_a_quiet_poll_asks_for_events_only() -> None:
    async with following(small()) as followed:
        await followed.poll()
        updates = await followed.poll()
        assert dict(followed.server.asked) == {"events/list": 1}
        assert not updates[-1].difference
        assert updates[-1].snapshot is not None
        assert updates[-1].snapshot.observed_at > answers.START


async def test_an_event_has_only_what_it_names_read_again() -> None:
    async with following(small()) as followed:
        await followed.poll()
        server = followed.server
        submission_of(server, "s-1")["status"] = "terminating"
        server.happens("Job status changed", ("job", submission_of(server, "s-1")["id"], "s-1-0-0"))
        updates = await followed.poll()
        assert dict(server.asked) == {"events/list": 1, "runs/list": 1, "instances/get": 1}
        assert len(updates[0].difference.replicas.changed) == 1
        assert len(updates[0].difference.services.changed) == 1


async def test_the_backends_of_the_project_are_known() -> None:
    async with following(small()) as followed:
        await followed.poll()
        assert followed.snapshot.backends == ("aws",)


async def test_a_job_that_ends_frees_its_blocks_on_screen() -> None:
    async with following(small()) as followed:
        await followed.poll()
        server = followed.server
        job = submission_of(server, "s-1")
        job["status"] = "terminated"
        server.instances[1]["busy_blocks"] = 0
        server.happens("Job status changed", ("job", job["id"], "s-1-0-0"))
        await followed.poll()
        assert followed.snapshot.instances[server.instances[1]["id"]].busy_blocks == 0
        assert followed.snapshot.fleets[server.fleets[0]["id"]].blocks_busy == 1


@pytest.mark.parametrize("late", [0.0, 5.0, 14.0])
async def test_a_late_event_is_not_missed(late: float) -> None:
    async with following(small()) as followed:
        await followed.poll()
        server = followed.server
        run = server.run_named("s-2")
        server.happens("Run status changed", ("run", run["id"], "s-2"))
        await followed.poll()
        server.run_named("s-0")["status"] = "terminating"
        late_run = server.run_named("s-0")["id"]
        server.happens("Run status changed", ("run", late_run, "s-0"), late=late)
        updates = await followed.poll()
        assert updates[0].difference.services.changed == {late_run}
        assert server.asked["runs/list"] == 1


async def test_an_event_that_came_late_while_nothing_could_be_read_is_not_missed() -> None:
    async with following(small()) as followed:
        await followed.poll()
        server = followed.server
        server.happens("Run status changed", ("run", server.run_named("s-2")["id"], "s-2"))
        await followed.poll()
        server.fail = lambda path: httpx.Response(500)
        await followed.poll(after=60)
        server.fail = lambda path: None
        late = ("run", server.run_named("s-0")["id"], "s-0")
        server.happens("Run status changed", late, late=75.0)
        before = len(followed.feed.events)
        await followed.poll()
        assert len(followed.feed.events) == before + 1


async def test_an_event_is_followed_once() -> None:
    async with following(small()) as followed:
        await followed.poll()
        followed.server.happens("Run updated", ("run", answers.ident(10_001), "s-1"))
        await followed.poll()
        assert followed.server.asked["runs/list"] == 1
        await followed.poll()
        assert followed.server.asked["runs/list"] == 0


async def test_what_events_named_is_read_although_the_server_failed_in_between() -> None:
    async with following(small()) as followed:
        await followed.poll()
        server = followed.server
        server.run_named("s-1")["status"] = "terminating"
        server.happens("Run status changed", ("run", server.run_named("s-1")["id"], "s-1"))
        server.fail = lambda path: httpx.Response(500) if "runs" in path else None
        failed = await followed.poll()
        assert failed[-1].health.state is ConnectionState.STALE
        server.fail = lambda path: None
        await followed.poll()
        assert followed.snapshot.services[server.run_named("s-1")["id"]].status == "terminating"


async def test_new_runs_and_fleets_and_instances_come_by_events() -> None:
    async with following(small()) as followed:
        await followed.poll()
        server = followed.server
        server.runs.append(answers.run(20, answers.job(0, answers.submission(200)), name="new"))
        server.happens("Run submitted", ("run", answers.ident(10_020), "new"))
        server.fleets.append(answers.fleet(3))
        server.happens("Fleet created", ("fleet", server.fleets[-1]["id"], "fleet-3"))
        server.instances.append(answers.instance(9, server.fleets[0]))
        server.fleets[0]["spec"]["configuration"]["nodes"] = {"min": 3, "max": 9}
        server.happens(
            "Instance created on fleet update",
            ("instance", server.instances[-1]["id"], "fleet-1-9"),
        )
        updates = await followed.poll()
        assert updates[0].difference.services.added == {answers.ident(10_020)}
        assert updates[0].difference.fleets.added == {server.fleets[2]["id"]}
        assert updates[0].difference.instances.added == {server.instances[-1]["id"]}
        assert followed.snapshot.fleets[server.fleets[0]["id"]].nodes_max == 9


async def test_a_job_of_a_run_that_is_not_known_is_found_by_its_name() -> None:
    async with following(small()) as followed:
        await followed.poll()
        server = followed.server
        server.runs.append(
            answers.run(20, answers.job(0, answers.submission(200), name="a-b"), name="a-b")
        )
        server.happens("Job created", ("job", answers.ident(100_200), "a-b-0-0"))
        server.happens("Job created", ("job", answers.ident(100_201), "nobody-0-0"))
        await followed.poll()
        assert followed.snapshot.service_named("a-b") is not None


async def test_a_host_that_could_not_be_set_up_is_found_in_its_fleet_at_the_next_poll() -> None:
    async with following(small()) as followed:
        server = followed.server
        server.fleets[0]["spec"]["configuration"]["ssh_config"] = {"hosts": ["a"]}
        await followed.poll()
        host = server.instances[0]
        host |= {"status": "terminated", "termination_reason": "provisioning_timeout"}
        server.happens("Instance status changed", ("instance", host["id"], "i"))
        await followed.poll()
        assert host["id"] not in followed.snapshot.instances
        (fleet,) = (each for each in followed.snapshot.fleets.values() if each.kind == "ssh")
        assert [each.id for each in fleet.failed] == [host["id"]]


async def test_what_goes_is_gone() -> None:
    async with following(small()) as followed:
        await followed.poll()
        server = followed.server
        gone = server.runs.pop(0)
        server.happens("Run deleted", ("run", gone["id"], "s-0"))
        server.runs[0]["deleted"] = True
        server.happens("Run deleted", ("run", server.runs[0]["id"], "s-1"))
        server.instances[0]["status"] = "terminated"
        server.happens("Instance status changed", ("instance", server.instances[0]["id"], "i"))
        fleet = server.fleets.pop(1)
        server.happens("Fleet deleted", ("fleet", fleet["id"], "fleet-2"))
        updates = await followed.poll()
        difference = updates[0].difference
        assert difference.services.gone == {gone["id"], server.runs[0]["id"]}
        assert difference.fleets.gone == {fleet["id"]}
        assert difference.instances.gone == {answers.ident(1000 + n) for n in (0, 2, 3)}


async def test_an_event_tells_the_instance_of_a_job_and_how_long_it_is_idle() -> None:
    server = small()
    for instance in server.instances:
        instance["hostname"] = "shared"
    job = submission_of(server, "s-0")
    job["job_provisioning_data"]["hostname"] = "shared"
    async with following(server) as followed:
        await followed.poll()
        key = followed.snapshot.services[answers.ident(10_000)].replica_keys[0]
        assert followed.snapshot.replicas[key].link is not Link.EXACT
        server.happens(
            "Job assigned to instance. Instance blocks: 1/8 busy",
            ("job", job["id"], "s-0-0-0"),
            ("instance", answers.ident(1003), "i"),
        )
        server.instances[2]["status"] = "idle"
        idle = ("instance", answers.ident(1002), "i")
        server.happens("Instance status changed BUSY -> IDLE", idle)
        await followed.poll()
        replica = followed.snapshot.replicas[key]
        assert (replica.link, replica.instance_id) == (Link.EXACT, answers.ident(1003))
        idle_since = followed.snapshot.instances[answers.ident(1002)].idle_since
        assert idle_since == answers.START + timedelta(seconds=server.now - 2)
        assert [event.message for event in followed.feed.events][-2:] == [
            server.events[-2]["message"],
            server.events[-1]["message"],
        ]


async def test_older_events_are_asked_for_jobs_that_nothing_else_places() -> None:
    server = small()
    job = submission_of(server, "s-0")
    job["job_provisioning_data"]["hostname"] = ""
    server.now = 10.0
    server.happens(
        "Job assigned to instance",
        ("job", job["id"], "s-0-0-0"),
        ("instance", answers.ident(1003), "i"),
    )
    server.now = 20.0
    for number in range(150):
        server.happens(f"Noise {number}", ("run", answers.ident(77), "other"))
    server.now = 1000.0
    async with following(server) as followed:
        await followed.poll()
        key = followed.snapshot.services[answers.ident(10_000)].replica_keys[0]
        assert followed.snapshot.replicas[key].link is Link.EXACT
        await followed.poll()
        assert server.asked["events/list"] == 1


async def test_what_is_opened_is_read_at_once_and_what_is_listed_in_turns() -> None:
    async with following(small()) as followed:
        await followed.poll()
        server = followed.server
        services = [answers.ident(10_000 + number) for number in range(3)]
        followed.feed.focus(services=services, opened_service=services[0])
        submission_of(server, "s-0")["probes"] = [{"success_streak": 0}]
        await followed.poll()
        key = followed.snapshot.services[services[0]].replica_keys[0]
        assert followed.snapshot.replicas[key].ready is False
        for name in ("s-1", "s-2"):
            submission_of(server, name)["probes"] = [{"success_streak": 0}]
        for _ in range(5):
            await followed.poll()
        assert [followed.snapshot.services[service].ready for service in services] == [1, 1, 1]


async def test_an_opened_fleet_is_read_and_a_service_that_ended_is_read_once() -> None:
    async with following(small()) as followed:
        await followed.poll()
        server = followed.server
        server.instances[0]["price"] = 99.0
        followed.feed.focus(
            opened_fleet=server.fleets[0]["id"], opened_service=answers.ident(10_009)
        )
        assert followed.snapshot.services[answers.ident(10_009)].jobs_known is False
        await followed.poll()
        assert followed.snapshot.instances[server.instances[0]["id"]].price == 99.0
        assert followed.snapshot.services[answers.ident(10_009)].jobs_known is True
        assert server.asked["runs/list"] == 1
        await followed.poll()
        assert server.asked["runs/list"] == 0


async def test_an_imported_fleet_is_asked_of_the_project_that_shares_it() -> None:
    server = small()
    for item in (server.fleets[0], *server.instances[:2]):
        item["project_name"] = "shared"
    async with following(server) as followed:
        await followed.poll()
        followed.feed.focus(opened_fleet=server.fleets[0]["id"])
        server.instances[0]["busy_blocks"] = 5
        await followed.poll()
        assert followed.snapshot.fleets[server.fleets[0]["id"]].project == "shared"
        assert followed.snapshot.instances[server.instances[0]["id"]].busy_blocks == 5
        server.instances[1]["status"] = "terminating"
        job = ("job", submission_of(server, "s-1")["id"], "s-1-0-0")
        server.happens("Job assigned", job, ("instance", server.instances[1]["id"], "i"))
        await followed.poll()
        assert followed.snapshot.instances[server.instances[1]["id"]].status == "terminating"


async def test_a_lent_fleet_that_the_server_fails_to_give_alone_is_read_in_a_list() -> None:
    """dstack 0.22.5 does where one of its instances was started for another project."""
    server = small()
    server.fleets[0]["project_name"] = "shared"
    name, key = server.fleets[0]["name"], server.fleets[0]["id"]
    async with following(server) as followed:
        await followed.poll()
        server.fail = lambda path: (
            httpx.Response(500) if path == "/api/project/shared/fleets/get" else None
        )
        followed.feed.focus(opened_fleet=key)
        server.instances[0]["busy_blocks"] = 5
        updates = await followed.poll()
        assert updates[-1].health.state is ConnectionState.LIVE
        assert followed.snapshot.fleets[key].name == f"shared/{name}"
        assert followed.snapshot.instances[server.instances[0]["id"]].busy_blocks == 5
        # The list fails too: that is the server's failure.
        server.fail = lambda path: httpx.Response(500) if "fleets" in path else None
        updates = await followed.poll()
        assert updates[-1].health.state is ConnectionState.STALE


async def test_a_read_in_the_background_that_brings_nothing_is_no_update() -> None:
    async with following(small()) as followed:
        await followed.poll()
        asked = 0
        for _ in range(100):
            updates = await followed.poll()
            assert len(updates) == 1
            asked += followed.server.asked["runs/list"]
        assert asked > 1


async def test_what_no_event_tells_is_read_in_the_background() -> None:
    async with following(small()) as followed:
        await followed.poll()
        server = followed.server
        server.fleets[0]["spec"]["configuration"]["nodes"] = {"min": 0, "max": 7}
        server.runs = [run for run in server.runs if run["run_spec"]["run_name"] != "s-2"]
        server.fleets = server.fleets[:1]
        polls = 0
        while len(followed.snapshot.services) > 3:
            await followed.poll()
            polls += 1
            assert polls < 150, "not within 300 seconds"
        assert followed.snapshot.fleets[server.fleets[0]["id"]].nodes_max == 7
        assert len(followed.snapshot.fleets) == 1


async def test_no_read_in_the_background_brings_much_at_once() -> None:
    server = small()
    for number in range(20, 60):
        jobs = [answers.job(replica) for replica in range(20)]
        server.runs.append(answers.run(number, *jobs, name=f"more-{number}"))
    async with following(server) as followed:
        await followed.poll()
        brought = []
        for _ in range(150):
            before = followed.client.meter.bytes
            await followed.poll()
            brought.append(followed.client.meter.bytes - before)
        assert sum(brought) > 1_000_000, "not everything was read again within 300 seconds"
        assert max(brought) < 200_000


async def test_a_refresh_reads_everything_now() -> None:
    async with following(small()) as followed:
        await followed.poll()
        followed.server.fleets[0]["status_message"] = "changed"
        takes_time(followed.server, 0.5)
        updates = await followed.poll(full=True)
        assert len(updates) > 2
        assert followed.snapshot.fleets[followed.server.fleets[0]["id"]].status_message == "changed"
        assert all(update.snapshot and update.snapshot.complete for update in updates)


async def test_a_run_that_ended_long_after_it_began_is_kept_as_it_ended() -> None:
    server = small()
    async with following(server) as followed:
        await followed.poll()
        for number in range(100, 160):
            server.runs.append(answers.run(number, name=f"r-{number}", status="done"))
        server.run_named("s-0")["status"] = "failed"
        submission_of(server, "s-0")["finished_at"] = answers.at(999)
        await followed.poll(full=True)
        service = followed.snapshot.service_named("s-0")
        assert service is not None
        assert service.status == "failed"


async def test_much_at_once_is_read_in_full() -> None:
    async with following(small()) as followed:
        await followed.poll()
        server = followed.server
        for number in range(100, 140):
            server.runs.append(answers.run(number, answers.job(0), name=f"r-{number}"))
            server.happens("Run submitted", ("run", answers.ident(10_000 + number), "r"))
        await followed.poll()
        assert len(followed.snapshot.services) == 44
        assert server.asked["runs/get"] == 0


async def test_more_events_than_can_be_followed_are_read_in_full() -> None:
    async with following(small()) as followed:
        await followed.poll()
        server = followed.server
        server.run_named("s-1")["status"] = "terminating"
        for number in range(700):
            server.happens(f"Noise {number}", ("user", answers.ident(5), "admin"))
        await followed.poll()
        service = followed.snapshot.service_named("s-1")
        assert service is not None
        assert service.status == "terminating"
        assert server.asked["events/list"] == 6
        # For as long as others may come late among them, they are read again.
        await followed.poll(after=20.0)
        await followed.poll()
        assert dict(server.asked)["events/list"] == 1


async def test_a_server_without_events_is_read_in_full_as_often_as_it_may() -> None:
    server = small()
    server.fail = lambda path: (
        httpx.Response(404, json={"detail": {"msg": "Not found"}}) if "events" in path else None
    )
    async with following(server) as followed:
        await followed.poll()
        assert followed.feed.health.state is ConnectionState.LIVE
        server.run_named("s-1")["status"] = "terminating"
        await followed.poll()
        assert server.asked["events/list"] == 0
        service = followed.snapshot.service_named("s-1")
        assert service is not None
        assert service.status == "terminating"


@pytest.mark.parametrize(
    ("spoil", "state"),
    [
        (lambda path: httpx.ConnectError("refused"), ConnectionState.STALE),
        (lambda path: httpx.Response(500), ConnectionState.STALE),
        (lambda path: httpx.Response(200, text="<html>"), ConnectionState.STALE),
        (
            lambda path: httpx.Response(403, json={"detail": {"msg": "Invalid token"}}),
            ConnectionState.UNAUTHORISED,
        ),
        (
            lambda path: httpx.Response(403, json={"detail": {"msg": "Access denied"}}),
            ConnectionState.STALE,
        ),
        (lambda path: httpx.Response(404, text="<html>"), ConnectionState.STALE),
    ],
)
async def test_a_failure_is_a_state_and_it_ends_by_itself(
    spoil: Callable[[str], Any], state: ConnectionState
) -> None:
    server = small()
    async with following(server) as followed:
        server.fail = spoil
        first = await followed.poll()
        early = ConnectionState.CONNECTING if state is ConnectionState.STALE else state
        assert (first[-1].health.state, first[-1].snapshot) == (early, None)
        server.fail = lambda path: None
        await followed.poll()
        good = followed.snapshot
        since = followed.feed.health.since
        server.fail = spoil
        updates = await followed.poll()
        health = updates[-1].health
        assert len(updates) == 1
        assert updates[-1].snapshot is good
        assert health.message
        assert health.hint
        assert health.last_success == since
        assert health.since > since
        assert health.state is state
        again = (await followed.poll())[-1].health
        assert again.since == health.since
        server.fail = lambda path: None
        server.happens("Run updated", ("run", answers.ident(10_001), "s-1"))
        await followed.poll()
        assert followed.feed.health.state is ConnectionState.LIVE
        assert server.asked["runs/list"] == 1


@pytest.mark.parametrize("status", [403, 404])
async def test_a_project_that_can_not_be_seen_is_said_to_be_with_those_that_can(
    status: int,
) -> None:
    def fail(path: str) -> httpx.Response | None:
        if path == "/api/projects/main/get":
            return httpx.Response(status, json={"detail": {"msg": "Not here"}})
        if path == "/api/projects/list":
            others = [{"project_id": answers.ident(n), "project_name": f"p{n}"} for n in (2, 1)]
            return httpx.Response(200, json=others)
        return None

    server = small()
    async with following(server) as followed:
        server.fail = fail
        health = (await followed.poll())[-1].health
        assert health.state is ConnectionState.NO_PROJECT
        assert "main" in str(health.message)
        assert "p1, p2" in str(health.hint)
        server.fail = lambda path: None
        await followed.poll()
        assert followed.feed.health.state is ConnectionState.LIVE
        server.fail = fail
        updates = await followed.poll(full=True)
        assert updates[-1].health.state is ConnectionState.NO_PROJECT
        assert updates[-1].snapshot is not None


async def test_a_run_that_ended_while_nobody_told_has_no_running_replicas() -> None:
    server = small()
    async with following(server) as followed:
        await followed.poll()
        run = server.run_named("s-0")
        run["status"] = "failed"
        submission_of(server, "s-0")["status"] = "failed"
        submission_of(server, "s-0", 1)["status"] = "terminated"
        await followed.poll(full=True)
        service = followed.snapshot.services[run["id"]]
        assert (service.status, service.running, service.jobs_known) == ("failed", 0, True)
        assert [key.replica_num for key in service.replica_keys] == [0]


async def test_a_server_that_is_too_old_is_said_to_be() -> None:
    server = small()
    server.version = "0.19.40"
    async with following(server) as followed:
        updates = await followed.poll()
    assert updates[-1].health.state is ConnectionState.UNSUPPORTED
    assert "0.19.40" in str(updates[-1].health.message)


@pytest.mark.parametrize("version", ["0.20.29", "0.23.0rc1", "latest", None])
async def test_other_versions_are_read(version: str | None) -> None:
    server = small()
    server.version = version
    async with following(server) as followed:
        await followed.poll()
    assert followed.feed.health.state is ConnectionState.LIVE


async def test_a_project_made_anew_under_its_old_name_is_read_anew() -> None:
    server = small()
    async with following(server) as followed:
        await followed.poll()
        server.fail = lambda path: httpx.Response(500)
        await followed.poll()
        server.runs, server.fleets, server.instances = server.runs[:1], [], []
        server.fail = lambda path: (
            httpx.Response(200, json={"project_id": answers.ident(2), "project_name": "main"})
            if path.startswith("/api/projects")
            else None
        )
        await followed.poll()
        assert len(followed.snapshot.services) == 1
        assert followed.snapshot.fleets == {}


async def test_why_a_run_failed_is_known_at_the_first_look() -> None:
    """A run that has ended is read without jobs, and only they tell why."""
    server = small()
    failed = {"worn": "Out of memory", "new": "No H100", "train": "No L4"}
    for number, (name, cause) in enumerate(failed.items()):
        ended = answers.submission(
            900 + number,
            status="failed",
            finished_at=answers.at(5),
            termination_reason="container_exited_with_error",
            termination_reason_message=cause,
        )
        server.runs.append(
            answers.run(
                900 + number,
                answers.job(0, ended, name=name),
                name=name,
                status="failed",
                submitted_at=answers.at(number),
                last_processed_at=answers.at(5),
                termination_reason="job_failed",
                status_message="failed",
                configuration={"type": "task" if name == "train" else "service"},
            )
        )
    async with following(server) as followed:
        await followed.poll()
        shot = followed.snapshot
        (train,) = [run for run in shot.other_runs.values() if run.name == "train"]
        assert run_message(train, shot) == "No L4"
        found = problems_of(followed.snapshot, followed.snapshot.observed_at)
        assert {problem.subject: problem.text for problem in found if problem.subject != "old"} == {
            "worn": "failed: Out of memory",
            "new": "failed: No H100",
        }
        asked = server.asked["runs/list"]
        await followed.poll(full=True, after=600)
        assert 0 < server.asked["runs/list"] < asked, "what is known is not read again"
