"""The deployments of a service: what is kept of them, what changed, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dstack_api_client.edits.base.base import Base, read_service
from dstack_api_client.edits.errors import EndedError, NotKeptError
from dstack_api_client.edits.history.going_back import way_back
from dstack_api_client.edits.history.past import PastDeployment, known_since, past_deployments
from dstack_api_client.edits.spec.fields import ABSENT, fields_of
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.events.stream import event_of
from dstack_api_client.model.capabilities import UNKNOWN
from tests.builders.changing_server import ChangingServer
from tests.builders.memory_client import event
from tests.builders.snapshots import service

TOKEN = "hf_" + "q" * 24


@pytest.fixture
def server() -> ChangingServer:
    return ChangingServer()


def kept_in(folder: Path) -> Path:
    """The file with the specs."""
    (file,) = folder.rglob("*.deployments")
    return file


async def changed(server: ChangingServer, store: Store, **fields: Any) -> Base:
    """The service after a change of its configuration that was applied from here."""
    async with server.client() as client:
        before = await read_service(client, "main", "chat")
        run = server.runs[0]
        run["run_spec"] = {
            **run["run_spec"],
            "configuration": {**run["run_spec"]["configuration"], **fields},
        }
        run["deployment_num"] += 1
        after = await read_service(client, "main", "chat")
    store.keep_applied(before, after)
    return after


def past(store: Store, now: Base, *messages: str) -> list[PastDeployment]:
    known = service(id=now.id, deployment_num=now.deployment, spec=now.spec)
    events = [
        event_of(event(number, message, about=["run:chat"], actor="ada"))
        for number, message in enumerate(messages)
    ]
    return [*past_deployments(known, events, store.deployments(now.target, now.id))]


def test_the_first_deployment_is_told_by_its_run_where_its_event_is_gone() -> None:
    run = service(deployment_num=1)
    latest, first = past_deployments(run, [], {})
    assert (first.number, first.made_by, first.made_at) == (0, run.user, run.submitted_at)
    assert (latest.made_by, latest.made_at) == (None, None)


async def test_what_each_deployment_changed_and_what_has_changed_since(
    server: ChangingServer, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    first = (await changed(server, store, priority=5)).deployment
    server.runs[0]["deployment_num"] += 1  # somebody else
    now = await changed(server, store, priority=9, env={"HF_TOKEN": TOKEN})
    told = past(
        store,
        now,
        "Run submitted. Status: SUBMITTED",
        f"Run updated. Deployment: {now.deployment}. Changed fields: priority, env",
    )
    by_number = {each.number: each for each in told}
    assert list(by_number) == list(range(now.deployment, -1, -1))

    latest = by_number[now.deployment]
    assert (latest.is_latest, latest.since, latest.fields) == (True, (), ("priority", "env"))
    assert [(each.field, each.old, each.new) for each in latest.changes or ()] == [
        ("priority", "5", "9")
    ]
    assert [each.new for each in by_number[first - 1].since or ()] == ["9"]
    assert by_number[first].changes is not None
    assert by_number[0].event is not None
    assert by_number[0].event.actor == "ada"
    file = kept_in(tmp_path)
    assert TOKEN not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0


async def test_the_way_back_is_an_edit_of_what_is_there(
    server: ChangingServer, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    server.runs[0]["deployment_num"] = 1
    before = await changed(server, store, priority=5, max_duration=3600)
    await changed(server, store, priority=7)
    now = await changed(server, store, priority=9, max_duration=None, env={"HF_TOKEN": TOKEN})
    found = way_back(store, now, UNKNOWN, before.deployment)
    known = fields_of(found.edit.spec)
    assert known[("configuration", "priority")] == 5
    assert known[("configuration", "max_duration")] == 3600
    assert known[("configuration", "env", "HF_TOKEN")] == TOKEN, "what is not kept stays"
    assert "env" in found.left_out
    assert "env" in " ".join(found.notes)
    with pytest.raises(NotKeptError, match="deployment 0 of chat is not kept") as failed:
        way_back(store, now, UNKNOWN, 0)
    assert str(before.deployment) in failed.value.hint
    server.runs[0]["status"] = "terminated"
    async with server.client() as client:
        ended = await read_service(client, "main", "chat")
    with pytest.raises(EndedError):
        way_back(store, ended, UNKNOWN, before.deployment)


async def test_a_field_that_was_not_there_goes_again(
    server: ChangingServer, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    async with server.client() as client:
        start = await read_service(client, "main", "chat")
    now = await changed(server, store, creation_policy="reuse")
    found = way_back(store, now, UNKNOWN, start.deployment)
    path = ("configuration", "creation_policy")
    assert fields_of(found.edit.spec).get(path, ABSENT) == fields_of(start.spec).get(path, ABSENT)


async def test_a_group_whose_commands_are_not_kept_does_not_come_back(
    server: ChangingServer, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    groups = [{"name": name, "replicas": 1, "commands": ["serve"]} for name in ("old", "new")]
    before = await changed(server, store, groups=groups)
    now = await changed(server, store, groups=groups[1:])
    with pytest.raises(NotKeptError, match="replica groups old, whose commands"):
        way_back(store, now, UNKNOWN, before.deployment)


async def test_another_run_of_the_name_has_a_history_of_its_own(
    server: ChangingServer, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    now = await changed(server, store, priority=5)
    assert store.deployments(now.target, now.id)
    assert not store.deployments(now.target, "another")
    kept_in(tmp_path).write_text("{")
    assert not store.deployments(now.target, now.id)


async def test_what_is_known_of_a_deployment_that_is_not_kept(
    server: ChangingServer, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    server.runs[0]["deployment_num"] = 3
    now = await changed(server, store, priority=5)
    told = past(
        store,
        now,
        "Run updated. Deployment: 2. Changed fields: replicas, priority",
        "Run updated. Deployment: 4. Changed fields: priority, fleets",
    )
    no_values = "Events name fields without their values, so no plan can lead back."
    untold = "What 1 deployment since changed, no event tells."
    assert known_since(told, 1) == (
        f"Changed since: fleets, priority, replicas. {untold} {no_values}"
    )
    assert known_since(told, 3) == f"Changed since: fleets, priority. {no_values}"
    with pytest.raises(NotKeptError, match=r"has no deployment 5\. It is at 4"):
        way_back(store, now, UNKNOWN, 5)
