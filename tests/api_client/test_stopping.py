"""Stopping, aborting and deleting runs: what is sent, what is refused, and when it has ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from dstack_api_client import errors
from dstack_api_client.edits.base.base import Base, read_base, read_run
from dstack_api_client.edits.errors import EditError, EndedError
from dstack_api_client.edits.follow.following import State
from dstack_api_client.edits.follow.following_ends import follow_end
from dstack_api_client.edits.perform.stopping import StopAction, carry_out, fitting, refuse_unfit
from dstack_api_client.edits.store.keeping import Store
from tests.builders import answers
from tests.builders.audit_log import ends
from tests.builders.changing_server import ChangingServer


@pytest.fixture
def server() -> ChangingServer:
    return ChangingServer()


async def run_of(server: ChangingServer) -> Base:
    async with server.client() as client:
        return await read_run(client, "main", "chat")


def logged(store: Store) -> list[tuple[Any, Any, Any]]:
    return [(each["action"], each["kind"], each["result"]) for each in ends(store.audit_path)]


@pytest.mark.parametrize(
    ("status", "action", "path", "body", "line"),
    [
        ("running", "stop", "stop", {"abort": False}, "The stop of chat is sent."),
        ("running", "abort", "stop", {"abort": True}, "The abort of chat is sent."),
        ("terminating", "abort", "stop", {"abort": True}, "The abort of chat is sent."),
        ("failed", "delete", "delete", {}, "chat is deleted."),
    ],
)
async def test_it_is_sent_by_name_and_logged(
    server: ChangingServer,
    tmp_path: Path,
    status: str,
    action: StopAction,
    path: str,
    body: dict[str, Any],
    line: str,
) -> None:
    server.runs[0]["status"] = status
    store, run = Store(tmp_path), await run_of(server)
    sent: list[tuple[str, Any]] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith(("/runs/stop", "/runs/delete")):
            sent.append((request.url.path, json.loads(request.content)))
            return httpx.Response(200, content=b"null")
        return await server.answer(request)

    async with server.client(transport=httpx.MockTransport(answer)) as client:
        done = await carry_out(client, run, action, store, user="ada")
    assert sent == [(f"/api/project/main/runs/{path}", {"runs_names": ["chat"], **body})]
    assert done.line == line
    assert logged(store) == [(action, "service", line)]


async def test_another_run_of_the_name_is_left_alone(
    server: ChangingServer, tmp_path: Path
) -> None:
    run = await run_of(server)
    server.runs[0]["id"] = answers.ident(99)
    async with server.client() as client:
        with pytest.raises(EndedError, match="another run now"):
            await carry_out(client, run, "stop", Store(tmp_path))
    assert not server.writes


async def test_one_that_somebody_has_deleted_is_said(
    server: ChangingServer, tmp_path: Path
) -> None:
    run = await run_of(server)
    server.runs.clear()
    async with server.client() as client:
        with pytest.raises(errors.NotFoundError, match=r"The run chat is not there any more\."):
            await carry_out(client, run, "stop", Store(tmp_path))
        with pytest.raises(errors.NotFoundError, match=r"The service chat is not there any more\."):
            await read_base(client, run.target)
    assert not server.writes


async def test_nothing_is_sent_read_only(server: ChangingServer, tmp_path: Path) -> None:
    run = await run_of(server)
    async with server.client(read_only=True) as client:
        with pytest.raises(errors.ReadOnlyError):
            await carry_out(client, run, "stop", Store(tmp_path))
        with pytest.raises(errors.ReadOnlyError):
            await client.runs.stop("main", "chat", abort=False)
        with pytest.raises(errors.ReadOnlyError):
            await client.runs.delete("main", "chat")
    assert not server.writes
    assert not Store(tmp_path).audit_path.exists()


async def test_nothing_is_sent_to_another_project_than_the_one_that_is_changed(
    server: ChangingServer,
) -> None:
    async with server.client(changes_only="mai") as client:
        with pytest.raises(errors.ReadOnlyError, match=r"project than mai\. Nothing"):
            await client.runs.stop("main", "chat", abort=False)
        with pytest.raises(errors.ReadOnlyError):
            await client.runs.delete("main", "chat")
    assert not server.writes
    async with server.client(changes_only="main") as client:
        await client.runs.stop("main", "chat", abort=False)
    assert server.writes == ["/api/project/main/runs/stop"]


def lost(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("gone", request=request)


async def test_a_lost_answer_is_looked_up(server: ChangingServer, tmp_path: Path) -> None:
    store, run = Store(tmp_path), await run_of(server)
    server.faults["/runs/stop"] = lost
    async with server.client() as client:
        done = await carry_out(client, run, "stop", store)
    assert done.line == "The stop of chat is sent."
    server.deaf = True
    server.runs[0]["status"] = "running"
    async with server.client() as client:
        with pytest.raises(errors.UnansweredError):
            await carry_out(client, run, "stop", store)
    assert logged(store)[-1][2].startswith("not known: ")


async def test_a_stop_whose_end_was_not_seen_is_found_again(
    server: ChangingServer, tmp_path: Path
) -> None:
    """A run that is not a service has a record of its own: nothing is left open of it."""
    store = Store(tmp_path)
    server.runs[0]["run_spec"]["configuration"]["type"] = "task"
    run = await run_of(server)
    server.faults["/runs/stop"], server.deaf = lost, True
    async with server.client() as client:
        with pytest.raises(errors.UnansweredError):
            await carry_out(client, run, "stop", store)
    ((target, sent),) = store.open_changes(run.target.server, "main")
    assert (target.kind, sent.action) == ("run", "stop")
    store.end_sent(target, sent, applied=False)
    assert not store.open_changes(run.target.server, "main")


@pytest.mark.parametrize(
    ("status", "actions"),
    [
        ("running", ("stop", "abort")),
        ("pending", ("stop", "abort")),
        ("terminating", ("abort",)),
        ("terminated", ("delete",)),
    ],
)
async def test_what_fits_a_status(
    server: ChangingServer, status: str, actions: tuple[StopAction, ...]
) -> None:
    server.runs[0]["status"] = status
    run = await run_of(server)
    assert fitting(status) == actions
    every: tuple[StopAction, ...] = ("stop", "abort", "delete")
    for action in every:
        if action in actions:
            refuse_unfit(run, action)
        else:
            with pytest.raises(EditError):
                refuse_unfit(run, action)


@pytest.mark.parametrize("again", ["running", "pending"])
async def test_a_stop_that_dstack_loses_is_said(server: ChangingServer, again: str) -> None:
    run = await run_of(server)
    server.runs[0]["status"] = "terminating"

    async def later(seconds: float) -> None:
        server.runs[0]["status"] = again

    async with server.client() as client:
        seen = [each async for each in follow_end(client, run, sleep=later)]
    assert [each.state for each in seen] == [State.MOVING, State.FAILED]
    assert seen[-1].waiting == (
        "dstack has lost the stop and goes on with the run. Stop it again.",
    )


async def test_it_is_followed_until_it_has_ended(server: ChangingServer) -> None:
    run = await run_of(server)
    server.runs[0]["status"] = "terminating"
    job = server.runs[0]["jobs"][0]["job_submissions"][0]
    job["status"] = "terminating"

    async def later(seconds: float) -> None:
        if job["status"] == "terminating":
            job["status"] = "terminated"
        else:
            server.runs[0]["status"] = "terminated"

    async with server.client() as client:
        seen = [each async for each in follow_end(client, run, sleep=later)]
    assert [(each.state, each.waiting) for each in seen] == [
        (State.MOVING, ("1 replica to stop",)),
        (State.MOVING, ("the run itself to end",)),
        (State.DONE, ()),
    ]
