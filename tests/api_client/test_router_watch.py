"""Which routers are looked at when, and that nothing waits for one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from dstack_api_client.feed.feed import Feed
from dstack_api_client.model.replica import Replica
from dstack_api_client.model.router import RouterStatus, RouterView, Source, Sync
from dstack_api_client.model.service import Service
from dstack_api_client.routers.observation import Look, Outcome
from dstack_api_client.routers.pacing import interval
from dstack_api_client.routers.sources import SshSource
from dstack_api_client.routers.watch import OverSsh, RouterWatch, read_router
from dstack_api_client.transport.client import Client
from tests.builders import answers
from tests.builders.router_cases import as_listed, entry
from tests.servers.addon_answers import AddonServer
from tests.servers.fake_server import FakeServer
from tests.waiting import until

GROUPS = [
    {"name": "router", "replicas": 1, "router": {"type": "sglang"}},
    {"name": "decode", "replicas": 2, "commands": ["python -m sglang.launch_server"]},
]


@pytest.fixture(autouse=True)
def state(monkeypatch, tmp_path):
    """Keeps what is logged of a fault from the log of whoever runs this."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def routed(number: int, name: str, **changes: Any) -> dict[str, Any]:
    """A service with a router and two workers."""
    jobs = [
        answers.job(
            replica,
            answers.submission(
                number * 10 + replica,
                job_provisioning_data={
                    **answers.submission(0)["job_provisioning_data"],
                    "hostname": f"10.{number}.0.{replica}",
                },
            ),
            name=name,
            replica_group="decode" if replica else "router",
            service_port=8000,
        )
        for replica in range(3)
    ]
    configuration = {"groups": GROUPS, "replicas": None, "port": 8000}
    return answers.run(number, *jobs, name=name, configuration=configuration, **changes)


def workers_of(number: int) -> list[dict[str, Any]]:
    """What the router of such a service lists."""
    return [
        entry(
            replica,
            url=f"http://10.{number}.0.{replica}:8000",
            job=answers.ident(100_000 + number * 10 + replica),
        )
        for replica in (1, 2)
    ]


def told(server: AddonServer, number: int, name: str, **changes: Any) -> dict[str, Any]:
    """Has the add-on see a router; its answer may be changed at any time."""
    answer = {
        "run_name": name,
        "router_type": "smg",
        "router_replica": 0,
        "router_job_status": "running",
        "status": "ok",
        "message": None,
        "observed_at": answers.at(server.now),
        "last_sync_at": answers.at(server.now),
        "sync_interval": 5.0,
        "workers": workers_of(number),
        "ready": True,
        "expected": [],
        **changes,
    }
    server.routers[name] = answer
    return answer


class GivenSsh(SshSource):
    """Looks that a test has put there, in place of OpenSSH."""

    def __init__(self, server: FakeServer, client: Client) -> None:
        super().__init__(client, now=lambda: moment(server), monotonic=lambda: server.now)
        self.server = server
        self.looks: dict[str, Look] = {}
        self.asked: list[str] = []
        self.closed: list[str] = []
        self.hold: asyncio.Event | None = None
        self.error: Exception | None = None
        self._ways: list[str] = []

    @property
    def ways(self) -> list[str]:
        return list(self._ways)

    async def look(self, service: Service, router: Replica) -> Look:
        assert router.is_router
        self.asked.append(service.name)
        if self.hold is not None:
            await self.hold.wait()
        if self.error is not None:
            raise self.error
        self._ways = [*(way for way in self._ways if way != service.id), service.id]
        number = int(service.name.rpartition("-")[2])
        seen = Look(Source.SSH, Outcome.LISTED, moment(self.server), ready=True,
                    workers=as_listed(*workers_of(number)))  # fmt: skip
        return self.looks.get(service.name, seen)

    async def close(self, *services: str) -> None:
        self.closed += services
        self._ways = [way for way in self._ways if services and way not in services]


def moment(server: FakeServer) -> datetime:
    return datetime.fromisoformat(answers.at(server.now).replace("Z", "+00:00"))


@dataclass
class Watched:
    """A feed and its looks at routers, on a server in memory with a clock that stands still."""

    server: FakeServer
    feed: Feed
    watch: RouterWatch
    ssh: GivenSsh

    async def poll(self, after: float = 0.0) -> Any:
        self.server.now += after
        return [update async for update in self.feed.poll()][-1]

    def open(self, name: str) -> None:
        self.feed.focus(opened_service=self.server.run_named(name)["id"])

    def view(self, name: str) -> RouterView:
        assert self.feed.snapshot is not None
        return self.feed.snapshot.routers[self.server.run_named(name)["id"]]

    async def becomes(self, name: str, status: RouterStatus) -> RouterView:
        """Polls without any time passing until a router is seen so."""

        async def there() -> RouterView | None:
            await self.poll()
            return self.view(name) if self.view(name).status is status else None

        found: RouterView = await until(there, what=f"{name} is {status.value}")
        return found

    async def passing(self, seconds: float) -> None:
        """Lets time pass and what is due begin."""
        self.server.now += seconds
        self.watch._wake.set()
        await until(lambda: not self.watch._wake.is_set())
        await until(lambda: not self.watch._looking or self.ssh.hold is not None)


@asynccontextmanager
async def watching(server: FakeServer, **options: Any) -> AsyncIterator[Watched]:
    server.now = 1000.0
    clock = {"now": lambda: moment(server), "monotonic": lambda: server.now}
    async with server.client(monotonic=clock["monotonic"]) as client:
        ssh = GivenSsh(server, client)
        async with RouterWatch(client, "main", ssh=ssh, **clock, **options) as watch:
            yield Watched(server, Feed(client, "main", routers=watch, **clock), watch, ssh)


def asked(server: FakeServer, what: str = "placement/router") -> int:
    return server.asked[what]


async def test_through_the_server_every_router_is_looked_at_and_the_open_one_often() -> None:
    server = AddonServer()
    server.runs = [routed(n, f"s-{n}") for n in (1, 2, 3)]
    async with watching(server) as watched:
        for n in (1, 2, 3):
            told(server, n, f"s-{n}")
        await watched.poll()
        for n in (1, 2, 3):
            view = await watched.becomes(f"s-{n}", RouterStatus.READY)
            assert (view.source, view.ready, view.expected) == (Source.SERVER, 2, 2)
            assert {worker.sync for worker in view.workers} == {Sync.IN_SYNC}
            assert view.last_sync_at == view.observed_at
        assert asked(server) == 3
        await watched.passing(10)
        assert asked(server) == 3
        watched.open("s-2")
        await watched.passing(0)
        await until(lambda: asked(server) == 4, what="the opened one is looked at")
        await watched.passing(2)
        await until(lambda: asked(server) == 5)
        await watched.passing(9)
        await until(lambda: asked(server) == 8, what="all are due")
        assert watched.ssh.asked == []


async def test_a_look_that_brings_the_same_is_no_change() -> None:
    server = AddonServer()
    server.runs = [routed(1, "s-1")]
    async with watching(server) as watched:
        told(server, 1, "s-1")
        watched.open("s-1")
        await watched.poll()
        await watched.becomes("s-1", RouterStatus.READY)
        before = watched.view("s-1").observed_at
        server.now += 2
        told(server, 1, "s-1")
        await watched.passing(0)
        await until(lambda: asked(server) >= 2)
        update = await watched.poll()
        assert not update.difference
        assert watched.view("s-1").observed_at != before
        told(server, 1, "s-1", workers=[])
        await watched.passing(2)
        await until(lambda: asked(server) >= 3)
        update = await watched.poll()
        assert update.difference.routers.changed == {server.runs[0]["id"]}
        assert not update.difference.services
        # Nothing was looked at since, and nothing is another object.
        again = await watched.poll()
        assert again.snapshot.routers is update.snapshot.routers


async def test_what_a_look_costs_is_no_part_of_a_poll() -> None:
    server = AddonServer()
    server.runs = [routed(1, "s-1")]
    async with watching(server) as watched:
        told(server, 1, "s-1")
        await watched.poll()
        await watched.becomes("s-1", RouterStatus.READY)
        meter = watched.feed._client.meter
        before = meter.requests
        await watched.poll()
        assert meter.requests == before + 1


async def test_a_router_that_hangs_holds_up_no_poll() -> None:
    server = FakeServer()
    server.runs = [routed(1, "s-1")]
    async with watching(server) as watched:
        watched.ssh.hold = asyncio.Event()
        watched.open("s-1")
        await watched.poll()
        await until(lambda: watched.ssh.asked)
        for _ in range(3):
            update = await watched.poll(after=2)
            assert update.health.last_success == moment(server)
        view = watched.view("s-1")
        assert view.status is RouterStatus.UNKNOWN
        assert "for the first time" in view.message
        assert {worker.sync for worker in view.workers} == {Sync.UNKNOWN}
        watched.ssh.hold.set()
        watched.ssh.hold = None
        await watched.becomes("s-1", RouterStatus.READY)


async def test_what_was_seen_gets_too_old_after_three_polls() -> None:
    server = AddonServer()
    server.runs = [routed(1, "s-1")]
    async with watching(server) as watched:
        told(server, 1, "s-1")
        watched.open("s-1")
        await watched.poll()
        await watched.becomes("s-1", RouterStatus.READY)
        server.fail = lambda path: httpx.Response(500) if path.endswith("router") else None
        await watched.poll(after=5)
        assert watched.view("s-1").status is RouterStatus.READY
        await watched.poll(after=1)
        view = watched.view("s-1")
        assert view.status is RouterStatus.UNKNOWN
        assert view.message.startswith("The last answer is 6 s old.")
        assert {worker.sync for worker in view.workers} == {Sync.UNKNOWN}
        await watched.passing(0)
        await watched.poll()
        assert "Look at the server's log." in watched.view("s-1").message


def in_vain(server: FakeServer) -> Look:
    return Look(Source.SSH, Outcome.UNKNOWN, moment(server), "SSH failed: no route. Fix it.")


async def test_over_ssh_too_it_is_too_old_after_three_polls_however_rare_looks_become() -> None:
    server = FakeServer()
    server.runs = [routed(1, "s-1")]
    async with watching(server) as watched:
        watched.open("s-1")
        await watched.poll()
        await watched.becomes("s-1", RouterStatus.READY)
        watched.ssh.looks["s-1"] = in_vain(server)
        for _ in range(2):
            await watched.passing(2)
        await watched.poll()
        assert len(watched.ssh.asked) == 2, "a failed login, and the next is not due yet"
        assert watched.view("s-1").status is RouterStatus.READY
        await watched.passing(2)
        await watched.poll()
        view = watched.view("s-1")
        assert (view.status, view.ready) == (RouterStatus.UNKNOWN, 0)
        assert view.message.startswith("The last answer is 6 s old. SSH failed: no route.")


async def test_what_was_seen_now_and_then_does_not_count_for_long_once_it_is_opened() -> None:
    server = FakeServer()
    server.runs = [routed(1, "s-1")]
    async with watching(server, over_ssh=OverSsh.ALL) as watched:
        await watched.poll()
        await watched.becomes("s-1", RouterStatus.READY)
        await watched.poll(after=15)
        assert watched.view("s-1").status is RouterStatus.READY
        watched.ssh.looks["s-1"] = in_vain(server)
        watched.open("s-1")
        await watched.passing(0)
        await watched.poll()
        assert watched.view("s-1").status is RouterStatus.UNKNOWN


async def test_a_first_look_is_awaited_until_it_brought_something_or_takes_too_long() -> None:
    server = AddonServer()
    server.runs = [routed(n, f"s-{n}") for n in (1, 2)]
    async with watching(server) as watched:
        told(server, 1, "s-1")
        await watched.poll()
        assert watched.view("s-1").awaited
        assert watched.view("s-2").awaited
        assert not (await watched.becomes("s-1", RouterStatus.READY)).awaited

        async def failed() -> bool:
            await watched.poll()
            return not watched.view("s-2").awaited

        await until(failed, what="the look that failed is one too")
        assert watched.view("s-2").status is RouterStatus.UNKNOWN


async def test_a_router_that_hangs_is_not_awaited_for_ever() -> None:
    server = FakeServer()
    server.runs = [routed(1, "s-1"), routed(2, "s-2")]
    async with watching(server) as watched:
        watched.ssh.hold = asyncio.Event()
        watched.open("s-1")
        await watched.poll()
        assert watched.view("s-1").awaited
        assert not watched.view("s-2").awaited, "nobody looks at it"
        await watched.poll(after=19)
        assert watched.view("s-1").awaited
        await watched.poll(after=1)
        assert not watched.view("s-1").awaited
        watched.ssh.hold.set()


async def test_over_ssh_only_what_was_opened_is_looked_at() -> None:
    server = FakeServer()
    server.runs = [routed(n, f"s-{n}") for n in range(1, 9)]
    async with watching(server) as watched:
        await watched.poll()
        await watched.passing(60)
        assert watched.ssh.asked == []
        view = watched.view("s-1")
        assert (view.status, view.source) == (RouterStatus.UNKNOWN, Source.NONE)
        assert "read over SSH while the service is open" in view.message
        for n in range(1, 8):
            watched.open(f"s-{n}")
            await watched.passing(0)
            await watched.becomes(f"s-{n}", RouterStatus.READY)
        assert watched.ssh.asked == [f"s-{n}" for n in range(1, 8)]
        # The open one, and the four before it; the ways to others were ended.
        ids = {run["id"]: run["run_spec"]["run_name"] for run in server.runs}
        assert [ids[way] for way in watched.ssh.ways] == ["s-3", "s-4", "s-5", "s-6", "s-7"]
        assert [ids[way] for way in watched.ssh.closed] == ["s-1", "s-2"]


async def test_over_ssh_may_be_switched_off_or_on_for_all() -> None:
    server = FakeServer()
    server.runs = [routed(n, f"s-{n}") for n in (1, 2)]
    async with watching(server, over_ssh=OverSsh.NONE) as watched:
        watched.open("s-1")
        await watched.poll()
        await watched.passing(60)
        await watched.poll()
        assert watched.ssh.asked == []
        assert "switched off" in watched.view("s-1").message
    async with watching(server, over_ssh=OverSsh.ALL) as watched:
        await watched.poll()
        await watched.becomes("s-1", RouterStatus.READY)
        await watched.becomes("s-2", RouterStatus.READY)


async def test_logins_in_vain_become_rarer() -> None:
    server = FakeServer()
    server.runs = [routed(1, "s-1")]
    async with watching(server) as watched:
        watched.ssh.looks["s-1"] = in_vain(server)
        watched.open("s-1")
        await watched.poll()
        counts = []
        for _ in range(20):
            await watched.passing(4)
            counts.append(len(watched.ssh.asked))
        assert counts[-1] < 12, counts
        await watched.poll()
        assert watched.view("s-1").status is RouterStatus.UNKNOWN
        assert "no route" in watched.view("s-1").message
        del watched.ssh.looks["s-1"]
        await watched.passing(60)
        await watched.becomes("s-1", RouterStatus.READY)


async def test_routers_that_can_not_be_asked_are_not() -> None:
    server = AddonServer()
    nova = routed(1, "s-1")
    nova["run_spec"]["configuration"]["groups"] = [
        {**GROUPS[0], "router": {"type": "dynamo"}}, GROUPS[1],
    ]  # fmt: skip
    starting = routed(2, "s-2")
    starting["jobs"][0]["job_submissions"][-1]["status"] = "pulling"
    ended = routed(3, "s-3", status="terminated")
    plain = answers.run(4, answers.job(0), name="s-4")
    server.runs = [nova, starting, ended, plain]
    async with watching(server) as watched:
        await watched.poll()
        await watched.passing(60)
        await watched.poll()
        assert asked(server) == 0
        assert watched.feed.snapshot is not None
        assert set(watched.feed.snapshot.routers) == {nova["id"], starting["id"]}
        assert watched.view("s-1").status is RouterStatus.NOT_MANAGED
        assert len(watched.view("s-1").workers) == 2
        assert watched.view("s-2").status is RouterStatus.DOWN
        assert "is pulling" in watched.view("s-2").message


async def test_a_router_that_begins_to_run_while_its_service_is_open_is_looked_at() -> None:
    server = AddonServer()
    server.runs = [routed(1, "s-1")]
    router = server.runs[0]["jobs"][0]["job_submissions"][-1]

    def goes_to(status: str) -> None:
        router["status"] = status
        server.happens("Job status changed", ("job", router["id"], "s-1-0-0"))

    async with watching(server) as watched:
        told(server, 1, "s-1")
        watched.open("s-1")
        router["status"] = "pulling"
        await watched.poll()
        for _ in range(2):  # at first, and when it was started again
            await watched.becomes("s-1", RouterStatus.DOWN)
            # Nothing is due: the looks sleep until they are woken up.
            await until(lambda: not watched.watch._wake.is_set() and not watched.watch._looking)
            goes_to("running")
            await watched.becomes("s-1", RouterStatus.READY)
            server.now += 60
            told(server, 1, "s-1")
            goes_to("pulling")


async def test_since_when_an_unlisted_worker_runs_is_asked_once() -> None:
    server = AddonServer()
    server.runs = [routed(1, "s-1")]
    second = answers.ident(100_012)
    async with watching(server) as watched:
        # Long ago, and no event that is read by itself tells of it.
        server.events.insert(
            0,
            answers.event(900, "Job status changed PULLING -> RUNNING", ("job", second, "s-1-0-2"),
                          seconds=100),
        )  # fmt: skip
        for number in range(120):
            server.happens("Something else", ("user", answers.ident(1), "u"), late=-0.001 * number)
        told(server, 1, "s-1", workers=workers_of(1)[:1])
        watched.open("s-1")
        await watched.poll()
        view = await watched.becomes("s-1", RouterStatus.READY)
        worker = next(worker for worker in view.workers if worker.sync is not Sync.IN_SYNC)
        assert (worker.sync, worker.job_status) == (Sync.MISSING, "running")
        assert worker.since is not None
        assert answers.seconds(worker.since.isoformat()) == 100
        server.asked.clear()
        await watched.passing(2)
        await until(lambda: asked(server) == 1)
        assert asked(server, "events/list") == 0


async def test_one_router_can_be_read_once() -> None:
    server = AddonServer()
    server.runs = [routed(1, "s-1"), answers.run(4, answers.job(0), name="s-4")]
    server.now = 1000.0
    answer = told(server, 1, "s-1")
    async with server.client() as client:
        feed = Feed(client, "main")
        async for _ in feed.poll():
            pass
        snapshot = feed.snapshot
        assert snapshot is not None
        service = snapshot.service_named("s-1")
        plain = snapshot.service_named("s-4")
        assert service is not None
        assert plain is not None
        clock = moment(server)
        answer["observed_at"] = clock.isoformat()
        view = await read_router(client, "main", snapshot, service, now=lambda: clock)
        assert view is not None
        assert (view.status, view.ready) == (RouterStatus.READY, 2)
        assert await read_router(client, "main", snapshot, plain) is None
        server.fail = lambda path: httpx.Response(500) if path.endswith("router") else None
        view = await read_router(client, "main", snapshot, service, now=lambda: clock)
        assert view is not None
        assert view.status is RouterStatus.UNKNOWN
        assert view.message


async def test_the_clock_of_a_server_may_be_off() -> None:
    server = AddonServer()
    server.runs = [routed(1, "s-1")]
    async with watching(server) as watched:
        # What it tells is of an hour ahead, and so are all times that are shown.
        ahead = moment(server) + timedelta(hours=1)
        told(server, 1, "s-1", observed_at=ahead.isoformat(), last_sync_at=ahead.isoformat())
        watched.open("s-1")
        await watched.poll()
        watched.feed._client.transport.clock_offset = 3600.4
        view = await watched.becomes("s-1", RouterStatus.READY)
        assert view.observed_at == view.last_sync_at == ahead
        await watched.poll(after=5)
        assert watched.view("s-1").status is RouterStatus.READY
        await watched.poll(after=1)
        assert watched.view("s-1").status is RouterStatus.UNKNOWN


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(28, "No space left on device"), "could not be started: No space left on device."),
        (RuntimeError("odd"), "Reading the router failed (RuntimeError in "),
    ],
)
async def test_a_look_that_fails_here_is_told_and_ends_nothing(error: Exception, says: str) -> None:
    server = FakeServer()
    server.runs = [routed(1, "s-1")]
    async with watching(server) as watched:
        watched.ssh.error = error
        watched.open("s-1")
        await watched.poll()
        await until(lambda: watched.ssh.asked)
        await watched.passing(1)
        await watched.poll()
        assert says in watched.view("s-1").message
        assert len(watched.ssh.asked) == 1
        watched.ssh.error = None
        await watched.passing(60)
        await watched.becomes("s-1", RouterStatus.READY)


def test_what_is_dear_is_looked_at_less_often() -> None:
    small = Look(Source.SSH, Outcome.LISTED, answers.START, size=3_000, seconds=0.05)
    large = Look(Source.SSH, Outcome.LISTED, answers.START, size=1_000_000, seconds=0.4)
    slow = Look(Source.SSH, Outcome.LISTED, answers.START, size=3_000, seconds=2.0)

    def seconds(
        look: Look | None, *, opened: bool = True, routers: int = 1, failures: int = 0
    ) -> float:
        return interval(opened=opened, routers=routers, look=look, failures=failures)

    assert seconds(small) == seconds(None) == 2
    assert seconds(large) == 5
    assert seconds(slow) == 8
    assert seconds(small, opened=False) == 20
    assert seconds(small, opened=False, routers=100) == 50
    assert [seconds(small, failures=n) for n in range(1, 5)] == [4, 8, 10, 10]
    assert [seconds(small, failures=n, opened=False) for n in range(1, 6)] == [20, 20, 20, 30, 30]
