"""Faults between client and server, on real sockets: what is said is true, and it goes on after."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from dstack_api_client import errors
from dstack_api_client.edits.base.base import read_fleet, read_service
from dstack_api_client.edits.base.outcome import UnknownOutcomeError
from dstack_api_client.edits.perform.deleting import delete
from dstack_api_client.edits.perform.performing import perform
from dstack_api_client.edits.perform.rebalancing import rebalance
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.errors import UnansweredError
from dstack_api_client.feed.feed import Feed
from dstack_api_client.feed.update import ConnectionState, Update
from dstack_api_client.transport.client import Client
from tests.builders import answers
from tests.builders.audit_log import ends
from tests.builders.generation import combined
from tests.builders.hurried_edits import hurry, no_sleep
from tests.builders.sent_plans import PLANS
from tests.servers.faulty_proxy import FaultyProxy, faulty_proxy
from tests.servers.network_faults import HARMLESS, LONG, SHORT, TRIED, Line

ENDPOINTS = ["server/get_info", "projects/main/get", "fleets/list", "runs/list", "events/list"]
TOKEN = "secret-token"


@pytest_asyncio.fixture
async def proxy() -> AsyncIterator[FaultyProxy]:
    async with faulty_proxy() as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for between reads."""
    hurry(monkeypatch)


def client_of(proxy: FaultyProxy) -> Client:
    """A client that gives only those answers little time whose fault takes time."""
    client = Client(proxy.url, TOKEN, sleep=no_sleep)
    transport = client.transport
    send, longest = transport._send, transport._longest

    async def sent(path: str, *arguments: Any) -> bytes:
        transport._longest = SHORT if proxy.timed and proxy.hits(path) else longest
        return await send(path, *arguments)

    transport._send = sent  # type: ignore[method-assign]
    return client


async def polled(feed: Feed, *, full: bool = False) -> Update:
    """The last update of a poll."""
    updates = [update async for update in feed.poll(full=full)]
    return updates[-1]


def test_few_cases_try_each_value_and_others_are_slow() -> None:
    tried = combined("abcd", "xyz", slow="b")
    quick = ["".join(case.values) for case in tried if not case.marks]
    assert (len(tried), quick) == (12, ["ax", "cy", "dz"])


@pytest.mark.parametrize(("fault", "endpoint"), combined(TRIED, ["", *ENDPOINTS], slow=LONG))
async def test_a_read_that_fails_makes_nothing_fresh_and_the_next_poll_goes_on(
    proxy: FaultyProxy, fault: str, endpoint: str
) -> None:
    async with client_of(proxy) as client:
        feed = Feed(client, "main")
        before = await polled(feed)
        assert before.health.state is ConnectionState.LIVE
        proxy.fails(fault, *([endpoint] if endpoint else []))
        asked = len(proxy.asked)
        proxy.server.runs.append(answers.run(2, answers.job(0, name="new"), name="new"))
        during = await polled(feed, full=True)
        if any(proxy.hits(path) for path in proxy.asked[asked:]):
            assert during.health.state is not ConnectionState.LIVE
            assert during.health.message
            assert during.health.hint
            assert TOKEN not in f"{during.health.message} {during.health.hint}"
        assert during.snapshot is None or len(during.snapshot.services) in (1, 2)
        proxy.works()
        after = await polled(feed, full=True)
        assert after.health.state is ConnectionState.LIVE
        assert after.snapshot is not None
        assert after.snapshot.complete
        assert {each.name for each in after.snapshot.services.values()} == {"chat", "new"}
    assert proxy.strangers == []
    assert proxy.server.writes == []


@pytest.mark.parametrize("fault", HARMLESS)
async def test_what_comes_all_the_same_is_read(proxy: FaultyProxy, fault: str) -> None:
    proxy.fails(fault)
    async with client_of(proxy) as client:
        feed = Feed(client, "main")
        for _ in range(3):
            assert (await polled(feed, full=True)).health.state is ConnectionState.LIVE


@pytest.mark.parametrize(("fault", "what"), combined([*TRIED, *HARMLESS], [*PLANS], slow=LONG))
async def test_a_write_is_sent_once_and_found_to_be_made(
    proxy: FaultyProxy, tmp_path: Path, what: str, fault: str
) -> None:
    store, (planner, path, _) = Store(tmp_path), PLANS[what]
    async with client_of(proxy) as client:
        plan = await planner(client)
        proxy.fails(fault, path)
        await perform(client, plan, store, user="ada")
    assert len(proxy.server.writes) == 1
    (end,) = ends(store.audit_path)
    assert "not applied" not in end["result"]
    assert "applied" in end["result"]
    assert TOKEN not in store.audit_path.read_text()
    assert proxy.strangers == []


@pytest.mark.parametrize(("fault", "what"), combined(TRIED, [*PLANS], slow=LONG))
async def test_a_write_after_which_nothing_can_be_read_is_not_known(
    proxy: FaultyProxy, tmp_path: Path, what: str, fault: str
) -> None:
    store, (planner, path, reading) = Store(tmp_path), PLANS[what]
    async with client_of(proxy) as client:
        plan = await planner(client)
        proxy.fails(fault, path)
        broken = proxy.fault

        async def from_now_on(line: Line, answer: httpx.Response) -> None:
            proxy.paths = (path, reading)
            await broken(line, answer)

        proxy.fault = from_now_on
        with pytest.raises(UnknownOutcomeError, match="is not known") as unknown:
            await perform(client, plan, store, user="ada")
    assert TOKEN not in str(unknown.value)
    assert len(proxy.server.writes) == 1
    assert ends(store.audit_path)[0]["result"].startswith("not known: ")


async def _delete(client: Client, store: Store) -> object:
    return await delete(client, await read_fleet(client, "main", "fleet-1"), store, user="ada")


async def _rebalance(client: Client, store: Store) -> object:
    return await rebalance(client, await read_service(client, "main", "chat"), store, user="ada")


OTHERS: dict[str, tuple[Callable[[Client, Store], Awaitable[object]], str]] = {
    "delete": (_delete, "fleets/delete"),
    "rebalance": (_rebalance, "placement/rebalance"),
}


@pytest.mark.parametrize(("fault", "what"), combined(TRIED, [*OTHERS], slow=LONG))
async def test_what_else_is_written_is_sent_once_and_never_said_not_to_be_made(
    proxy: FaultyProxy, tmp_path: Path, what: str, fault: str
) -> None:
    store, (make, path) = Store(tmp_path), OTHERS[what]
    proxy.fails(fault, path)
    async with client_of(proxy) as client:
        try:
            await make(client, store)
        except UnansweredError:
            word = "not known: "
        else:
            assert what == "delete", "a deletion is read back; a rebalancing can't be"
            word = "Fleet fleet-1 is being deleted."
    assert len(proxy.server.writes) == 1
    assert ends(store.audit_path)[0]["result"].startswith(word)


@pytest.mark.parametrize("what", [*PLANS, *OTHERS])
async def test_a_write_that_can_not_go_out_is_said_not_to_be_made(
    proxy: FaultyProxy, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    async with client_of(proxy) as client:
        make: Callable[[], Awaitable[object]]
        if what in PLANS:
            plan = await PLANS[what][0](client)

            async def make() -> object:
                return await perform(client, plan, store, user="ada")
        else:

            async def make() -> object:
                return await OTHERS[what][0](client, store)

        send = client.transport._send

        async def sent(path: str, *arguments: Any) -> bytes:
            if any(path.endswith(end) for end in ("/apply", "/delete", "/rebalance")):
                async with Client("http://127.0.0.1:1", TOKEN, timeout=SHORT) as nowhere:
                    return await nowhere.transport._send(path, *arguments)
            return await send(path, *arguments)

        monkeypatch.setattr(client.transport, "_send", sent)
        with pytest.raises(errors.ApiError):
            await make()
    assert proxy.server.writes == []
    (end,) = ends(store.audit_path)
    word = end["result"].partition(": ")[0]
    assert "not" in word.split()
    assert word != "not known"


async def test_a_name_that_does_not_resolve_is_a_state() -> None:
    async with Client(
        "http://no-such-host.invalid", TOKEN, timeout=SHORT, sleep=no_sleep
    ) as client:
        feed = Feed(client, "main")
        update = await polled(feed)
    assert update.health.state is not ConnectionState.LIVE
    assert "no-such-host.invalid" in (update.health.message or "")


async def test_a_name_that_hangs_ends_with_the_limit_of_a_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def hangs(*arguments: Any, **options: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", hangs)
    async with Client("http://slow.invalid", TOKEN, timeout=SHORT, sleep=no_sleep) as client:
        with pytest.raises(errors.TimedOutError):
            await client.server.info()


async def test_a_proxy_of_the_environment_that_is_away_is_a_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://ada:hunter2@127.0.0.1:1")
    async with Client("http://server.invalid", TOKEN, timeout=SHORT, sleep=no_sleep) as client:
        update = await polled(Feed(client, "main"))
    assert update.health.state is not ConnectionState.LIVE
    said = f"{update.health.message} {update.health.hint}"
    assert "hunter2" not in said
    assert TOKEN not in said
