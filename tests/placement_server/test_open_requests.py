"""Requests through the server's proxy are open from the choice of a replica to the last byte."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import httpx
from dstack._internal.proxy.lib.models import Replica, Service

from dstack_placement.server.drain import open_requests

REPLICAS = tuple(
    Replica(id=uuid.uuid4().hex, app_port=80, ssh_destination="", ssh_port=22) for _ in range(3)
)
IDS = [uuid.UUID(replica.id) for replica in REPLICAS]
SERVICE = Service(
    id="s", project_name="p", run_name="r", auth=False, client_max_body_size=1, replicas=REPLICAS
)


async def _app(scope: Any, receive: Any, send: Any) -> None:
    """Gives the request to a replica, and answers with it and what is open meanwhile."""
    (replica,) = open_requests.with_one_replica(SERVICE).replicas
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await asyncio.wait_for(scope["app_may_end"].wait(), 30)
    if scope["path"] == "/broken":
        raise ConnectionError
    body = f"{replica.id} {open_requests.open_to(uuid.UUID(replica.id))}"
    await send({"type": "http.response.body", "body": body.encode()})


async def test_each_is_counted_for_its_replica_until_it_has_ended() -> None:
    may_end = asyncio.Event()
    counted = open_requests.CountedRequests(_app)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await counted({**scope, "app_may_end": may_end}, receive, send)

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://s") as client:
        asked = [asyncio.create_task(client.get("/")) for _ in range(20)]
        broken = asyncio.create_task(client.get("/broken"))
        while sum(open_requests.all_open().values()) < 21:
            await asyncio.wait(asked, timeout=0)
        given = open_requests.all_open()
        may_end.set()
        answers = [(await each).text.split() for each in asked]
        await asyncio.wait([broken])
    assert isinstance(broken.exception(), ConnectionError)
    assert set(given) <= set(IDS)
    assert {uuid.UUID(replica) for replica, _ in answers} <= set(given)
    assert open_requests.all_open() == {}
    assert [open_requests.open_to(each) for each in IDS] == [0, 0, 0]


def test_nothing_is_counted_outside_of_requests_and_on_gateways() -> None:
    assert open_requests.with_one_replica(SERVICE) is SERVICE
    assert open_requests.all_open() == {}
