"""The client against real servers of other versions."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from dstack_api_client import errors
from dstack_api_client.edits.base.base import read_service
from dstack_api_client.edits.errors import EditError
from dstack_api_client.edits.plan.applying import apply
from dstack_api_client.edits.plan.planning import make_plan
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.edits.spec import fields
from dstack_api_client.feed.feed import Feed
from dstack_api_client.feed.update import ConnectionState
from dstack_api_client.model.capabilities import Capabilities
from dstack_api_client.model.replica import Link
from dstack_api_client.transport import wire
from dstack_api_client.transport.client import Client
from tests.servers.old_servers import TOKEN, OldServer
from tests.waiting import until

pytestmark = pytest.mark.versions

_PROFILE = {"name": "default"}


async def submit(server: OldServer, path: str, body: dict[str, Any]) -> None:
    """What another client does."""
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        answer = await http.post(
            f"/api/project/main/{path}", json=body, headers={"Authorization": f"Bearer {TOKEN}"}
        )
        assert answer.status_code == 200, answer.text


async def apply_fleet(server: OldServer, **configuration: Any) -> None:
    spec = {"configuration": {"type": "fleet", **configuration}, "profile": _PROFILE}
    await submit(server, "fleets/apply", {"plan": {"spec": spec}, "force": False})


async def apply_service(server: OldServer, name: str, **configuration: Any) -> None:
    service = {"type": "service", "name": name, "port": 8000, "gateway": False, **configuration}
    run_spec = {"run_name": name, "configuration": service, "profile": _PROFILE}
    await submit(server, "runs/apply", {"plan": {"run_spec": run_spec}, "force": False})


async def is_ready(client: Client, server: OldServer) -> bool:
    if not server.launched():
        return False
    try:
        return (await client.server.info()).version == server.version
    except errors.CannotConnectError:
        return False


async def test_everything_is_read(versioned_server: OldServer) -> None:
    server = versioned_server
    async with Client(server.url, TOKEN) as client:
        await until(lambda: is_ready(client, server), limit=240, what=f"dstack {server.version}")
        await apply_fleet(server, name="spare", nodes={"min": 0, "max": 2}, idle_duration="1h")
        await apply_service(server, "plain", commands=["serve"], replicas=2, priority=7)
        old_names = server.version == "0.20.29"
        count = "count" if old_names else "replicas"
        groups = [
            {"name": "router", count: 1, "commands": ["route"], "router": {"type": "sglang"}},
            {"name": "worker", count: 2, "commands": ["serve"]},
        ]
        await apply_service(server, "grouped", **{"replicas" if old_names else "groups": groups})

        feed = Feed(client, "main")
        updates = [update async for update in feed.poll()]
        assert feed.health.state is ConnectionState.LIVE, feed.health.message
        snapshot = updates[-1].snapshot
        assert snapshot is not None
        assert snapshot.complete
        assert snapshot.server.version == server.version
        fleet = snapshot.fleet_named("spare")
        assert fleet is not None
        assert (fleet.kind, fleet.nodes_min, fleet.nodes_max) == ("cloud", 0, 2)
        assert (fleet.idle_duration, fleet.spot_policy) == ("1h", "on-demand")
        plain, grouped = snapshot.service_named("plain"), snapshot.service_named("grouped")
        assert plain is not None
        assert (plain.status, plain.priority, plain.user) == ("submitted", 7, "admin")
        assert (plain.replicas_min, plain.replicas_max, plain.active) == (2, 2, 2)
        assert plain.url == f"{server.url}/proxy/services/main/plain/"
        assert grouped is not None
        assert [(group.name, group.router, group.active) for group in grouped.groups] == [
            ("router", "smg", 1),
            ("worker", None, 2),
        ]
        replica = snapshot.replicas[plain.replica_keys[0]]
        assert (replica.status, replica.link) == ("submitted", Link.UNKNOWN)
        assert abs(replica.submitted_at - snapshot.observed_at) < timedelta(hours=1)

        await follow_a_change(server, feed)
        await read_the_rest(client, replica.submission_id, plain.id)
        await edit_in_place(server, client, snapshot.capabilities)


async def follow_a_change(server: OldServer, feed: Feed) -> None:
    """A poll after another client's change reads just that."""
    await submit(server, "runs/stop", {"runs_names": ["plain"], "abort": False})
    meter = feed._client.meter
    asked = [meter.requests]
    updates = []
    async for update in feed.poll():
        updates.append(update)
        asked.append(meter.requests)
    snapshot = updates[-1].snapshot
    assert snapshot is not None
    stopped = snapshot.service_named("plain")
    assert stopped is not None
    assert stopped.status == "terminating"
    assert updates[0].difference.services.changed == {stopped.id}
    assert asked[1] - asked[0] <= 3
    assert any(event.message.startswith("Run ") for event in feed.events)


async def read_the_rest(client: Client, submission_id: str, run_id: str) -> None:
    """What the feed does not ask for."""
    projects, me, fleets, run = await asyncio.gather(
        client.projects.list(),
        client.users.me(wire.User, "this user"),
        client.fleets.list("main"),
        client.runs.get("main", name="grouped"),
    )
    assert [project.project_name for project in projects] == ["main"]
    assert me.username == "admin"
    assert [fleet.name for fleet in fleets] == ["spare"]
    assert (await client.fleets.get("main", name="spare")).id == fleets[0].id
    assert len(run.jobs or ()) == 3
    assert (await client.logs.poll("main", "plain", submission_id)).logs == []
    assert (await client.metrics.job("main", "plain")).metrics is not None
    assert (await client.runs.get("main", run_id=run_id)).id == run_id
    with pytest.raises(errors.NotFoundError):
        await client.runs.get("main", name="nobody")
    with pytest.raises(errors.NotFoundError):
        await client.projects.get("nothing")
    with pytest.raises(errors.NotFoundError):
        await client.fleets.list("nothing")
    with pytest.raises(errors.WrongShapeError):
        await client.runs.get("main", run_id="not an id")
    async with Client(client.url, "wrong") as stranger:
        with pytest.raises(errors.UnauthorisedError):
            await stranger.projects.list()


async def edit_in_place(server: OldServer, client: Client, capabilities: Capabilities) -> None:
    """An edit sends the fields that the server itself sent; it knows no others."""
    await apply_service(server, "edited", commands=["serve"], replicas=2, priority=7)
    base = await read_service(client, "main", "edited")
    edit = ServiceEdit.begin(base, capabilities).with_replicas("0", 3).with_priority(9)
    plan = await make_plan(client, edit)
    assert {change.name: change.kind.value for change in plan.changes} == {
        "priority": "no restart",
        "replicas": "no restart",
    }
    assert fields.fields_of(plan.spec).keys() == fields.fields_of(base.spec).keys()
    done = await apply(client, plan)
    assert done.now.spec == plan.spec
    assert done.now.deployment == base.deployment + 1

    grouped = ServiceEdit.begin(await read_service(client, "main", "grouped"), capabilities)
    assert [(group.name, group.least, group.router) for group in grouped.groups] == [
        ("router", 1, True),
        ("worker", 2, False),
    ]
    if server.version == "0.20.29":
        with pytest.raises(EditError, match="list under `replicas`"):
            grouped.with_replicas("worker", 3)
    else:
        assert grouped.with_replicas("worker", 3).group("worker").least == 3
