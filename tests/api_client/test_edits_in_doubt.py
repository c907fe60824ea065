"""Faults around a write: what is said, written down and kept is true in each of them."""

from __future__ import annotations

import asyncio
import signal as signals
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from dstack_api_client import errors
from dstack_api_client.edits.base.base import Target, read_fleet, read_run, read_service
from dstack_api_client.edits.base.outcome import UnknownOutcomeError
from dstack_api_client.edits.perform.deleting import delete
from dstack_api_client.edits.perform.performing import perform, settle
from dstack_api_client.edits.perform.rebalancing import rebalance
from dstack_api_client.edits.perform.stopping import StopAction, carry_out
from dstack_api_client.edits.perform.undoing import undo
from dstack_api_client.edits.plan import applying
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.edits.store.kept import Sent, kept_of
from dstack_api_client.edits.store.recovering import look_up
from dstack_api_client.errors import UnansweredError
from tests.builders import answers
from tests.builders.audit_log import ends, lines
from tests.builders.changing_server import ChangingServer, Fault
from tests.builders.generation import combined
from tests.builders.hurried_edits import hurry, no_sleep
from tests.builders.sent_plans import PLANS, STOCK, fleet_plan, new_fleet_plan, service_plan
from tests.waiting import until

CHAT = Target("http://server", "main", "service", "chat")


def _is(status: int, **answer: Any) -> Fault:
    return lambda request: httpx.Response(status, **answer)


def _breaks(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("it broke", request=request)


def _bad_gzip(request: httpx.Request) -> httpx.Response:
    raise httpx.DecodingError("no gzip", request=request)


DETAIL = {"json": {"detail": [{"msg": "Access denied", "code": "forbidden"}]}}
#: What may come in place of the server's answer.
FAULTS: dict[str, Fault] = {
    "401": _is(401, text="no"),
    "401 of the server": _is(401, json={"detail": [{"msg": "no", "code": "x"}]}),
    "403": _is(403, text="<html>no</html>"),
    "403 of the server": _is(403, **DETAIL),
    "404": _is(404, text="<html>no</html>"),
    "407": _is(407, text="log in first"),
    "redirect": _is(302, headers={"Location": "https://elsewhere.example/"}),
    "204": _is(204),
    "html": _is(200, html="<html>welcome</html>"),
    "null": _is(200, content=b"null"),
    "list": _is(200, content=b"[]"),
    "broken body": _is(200, content=b'{"id": "1", "run_spec": {'),
    "400 in html": _is(400, html="<html>no</html>"),
    "422 in html": _is(422, html="<html>no</html>"),
    "500": _is(500, text="no"),
    "503": _is(503, text="no"),
    "reset": _breaks,
    "bad gzip": _bad_gzip,
}


@pytest.fixture
def server() -> ChangingServer:
    return ChangingServer()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for."""
    hurry(monkeypatch)


@pytest.mark.parametrize(("what", "fault"), combined([*PLANS], [*FAULTS]))
async def test_what_was_applied_is_found_though_the_answer_is_wrong(
    server: ChangingServer, tmp_path: Path, what: str, fault: str
) -> None:
    store, (planner, path, _) = Store(tmp_path), PLANS[what]
    async with server.client() as client:
        plan = await planner(client)
        server.faults[path] = FAULTS[fault]
        await perform(client, plan, store, user="ada")
    assert len(server.writes) == 1
    (end,) = ends(store.audit_path)
    assert "not applied" not in end["result"]
    assert "applied" in end["result"]
    if plan.base is not None:
        assert store.applied(plan.base.target) is not None


#: `null` is what the server answers to the end of a run.
ENDS_IN_DOUBT = [each for each in FAULTS if each != "null"]


@pytest.mark.parametrize("was_done", [True, False])
@pytest.mark.parametrize(("action", "fault"), combined(["stop", "abort", "delete"], ENDS_IN_DOUBT))
async def test_nothing_wrong_is_said_of_the_end_of_a_run(
    server: ChangingServer, tmp_path: Path, action: StopAction, fault: str, was_done: bool
) -> None:
    store, server.deaf = Store(tmp_path), not was_done
    if action == "delete":
        server.runs[0]["status"] = "failed"
    async with server.client() as client:
        run = await read_run(client, "main", "chat")
        server.faults["/runs/delete" if action == "delete" else "/runs/stop"] = FAULTS[fault]
        with suppress(UnansweredError):
            await carry_out(client, run, action, store)
    assert len(server.writes) == 1
    sent, end = lines(store.audit_path)
    assert (sent["result"], sent["sent"]) == ("sent", end["sent"])
    known = end["result"] == f"The {action} of chat is sent."
    assert known == (was_done and action != "delete"), "nobody knows of one that can't be read"
    assert known or end["result"].startswith("not known: ")


@pytest.mark.parametrize(
    ("what", "fault", "read"),
    combined([*PLANS], ["reset", "403 of the server", "html", "right"], [*FAULTS]),
)
async def test_what_can_not_be_read_afterwards_is_not_known(
    server: ChangingServer, tmp_path: Path, what: str, fault: str, read: str
) -> None:
    """Whatever the read says: it is no word on the change."""
    store, (planner, path, reading) = Store(tmp_path), PLANS[what]
    async with server.client() as client:
        plan = await planner(client)

        def answered(request: httpx.Request) -> httpx.Response:
            server.faults[reading] = FAULTS[read]
            if fault == "right":
                return httpx.Response(200, json={})
            return FAULTS[fault](request)

        server.faults[path] = answered
        with pytest.raises(UnknownOutcomeError, match="is not known"):
            await perform(client, plan, store, user="ada")
    assert len(server.writes) == 1
    sent, end = lines(store.audit_path)
    assert (sent["result"], sent["sent"]) == ("sent", end["sent"])
    assert end["result"].startswith("not known: ")
    if plan.base is not None:
        assert store.applied(plan.base.target) is not None, "the way back is kept"


@pytest.mark.parametrize("fault", ["403 of the server", "401 of the server"])
async def test_a_refusal_in_the_server_s_name_is_one_where_nothing_has_changed(
    server: ChangingServer, tmp_path: Path, fault: str
) -> None:
    store = Store(tmp_path)
    async with server.client() as client:
        plan = await service_plan(client)
        before = await read_service(client, "main", "chat")
        store.keep_applied(before, before)
        kept = store.applied(CHAT)
        refused = FAULTS[fault]
        server.fail = lambda path: refused(None) if path.endswith("runs/apply") else None
        with pytest.raises((errors.ForbiddenError, errors.UnauthorisedError)):
            await perform(client, plan, store, user="ada")
    assert not server.writes
    assert ends(store.audit_path)[0]["result"].startswith("not applied: ")
    assert store.applied(CHAT) == kept, "the way back of the change before is back"


async def test_it_is_read_on_until_it_is_known(server: ChangingServer, tmp_path: Path) -> None:
    store = Store(tmp_path)
    async with server.client() as client:
        plan = await service_plan(client)
        server.faults["runs/apply"] = _breaks

        def away(request: httpx.Request) -> httpx.Response:
            return httpx.Response(401, text="no")

        real = server.faults
        real["runs/apply"] = lambda request: (real.update({"runs/get": away}), _breaks(request))[1]
        with pytest.raises(UnknownOutcomeError) as unknown:
            await perform(client, plan, store, user="ada")
        assert unknown.value.check is not None
        server.faults.clear()
        done = await settle(client, unknown.value.check, store, user="ada", sleep=no_sleep)
    assert done.applied is not None
    assert "this was read afterwards" in done.applied.line
    sent, unknown_line, known = lines(store.audit_path)
    assert sent["sent"] == unknown_line["sent"] == known["sent"]
    assert "was applied" in known["result"]
    assert store.sent(CHAT) is None


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_rebalancing_is_never_said_not_to_be_asked_for(
    server: ChangingServer, tmp_path: Path, fault: str
) -> None:
    store = Store(tmp_path)
    async with server.client() as client:
        base = await read_service(client, "main", "chat")
        server.faults["placement/rebalance"] = FAULTS[fault]
        with pytest.raises(UnansweredError, match="no answer says whether"):
            await rebalance(client, base, store, user="ada")
    assert len(server.writes) == 1
    (end,) = ends(store.audit_path)
    assert end["result"].startswith("not known: ")


@pytest.mark.parametrize("fault", [name for name in FAULTS if name not in ("null", "204")])
async def test_a_deletion_that_was_done_is_found(
    server: ChangingServer, tmp_path: Path, fault: str
) -> None:
    store = Store(tmp_path)
    async with server.client() as client:
        base = await read_fleet(client, "main", "fleet-1")
        server.faults["fleets/delete"] = FAULTS[fault]
        await delete(client, base, store, user="ada")
    assert ends(store.audit_path)[0]["result"] == "Fleet fleet-1 is being deleted."


async def test_what_this_program_does_wrong_meanwhile_is_no_word_on_the_change(
    server: ChangingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)

    def fails(*_: Any) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(applying, "judged", fails)
    async with server.client() as client:
        plan = await service_plan(client)
        with pytest.raises(UnknownOutcomeError, match="this program failed"):
            await perform(client, plan, store, user="ada")
        now = await read_service(client, "main", "chat")
    assert ends(store.audit_path)[0]["result"].startswith("not known: ")
    assert undo(store, now, STOCK).edit.run_priority == 0


async def test_a_program_that_is_told_to_end_leaves_its_line_and_the_way_back(
    server: ChangingServer, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    async with server.client() as client:
        plan = await service_plan(client)
        server.hold("runs/apply")
        task = asyncio.ensure_future(perform(client, plan, store, user="ada"))
        await until(lambda: server.writes, what="the request")
        assert [line["result"] for line in lines(store.audit_path)] == ["sent"]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        now = await read_service(client, "main", "chat")
    assert ends(store.audit_path)[0]["result"] == "not known: this program was ended"
    assert undo(store, now, STOCK).edit.run_priority == 0


#: Sends a change of which no answer comes, in a process of its own.
_SENDS = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.edits.perform.performing import perform
from tests.builders.changing_server import ChangingServer
from tests.builders.sent_plans import service_plan
from tests.waiting import until

async def main():
    server = ChangingServer()
    async with server.client() as client:
        plan = await service_plan(client)
        server.hold("runs/apply")
        task = asyncio.ensure_future(perform(client, plan, Store(Path(sys.argv[1])), user="ada"))
        await until(lambda: server.writes)
        print("sent", flush=True)
        await task

asyncio.run(main())
"""


@pytest.mark.parametrize("signal", ["TERM", "HUP", "KILL", "INT INT"])
async def test_a_process_that_ends_leaves_its_line_and_the_way_back(
    tmp_path: Path, signal: str
) -> None:
    root = str(Path(__file__).parents[2])
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _SENDS.format(root=root),
        str(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"sent\n"
    store = Store(tmp_path)
    assert store.open_changes(CHAT.server, CHAT.project) == [], "somebody waits for it"
    for each in signal.split():
        process.send_signal(getattr(signals, f"SIG{each}"))
    await process.wait()
    first, *_ = lines(store.audit_path)
    assert (first["result"], first["user"], first["name"]) == ("sent", "ada", "chat")
    ((target, sent),) = store.open_changes(CHAT.server, CHAT.project)
    assert (target, sent.id) == (CHAT, first["sent"])
    assert store.applied(CHAT) is not None


def _applied(server: ChangingServer) -> None:
    server.runs[0]["run_spec"]["configuration"]["priority"] = 7
    server.runs[0]["deployment_num"] += 1


def _changed_again(server: ChangingServer) -> None:
    server.runs[0]["run_spec"]["configuration"]["priority"] = 8
    server.runs[0]["deployment_num"] += 2


def _another(server: ChangingServer) -> None:
    server.runs[0]["id"] = "another"


@pytest.mark.parametrize(
    ("since", "said", "takes_back"),
    [
        (_applied, "it was applied", True),
        (lambda server: None, "it was not applied", False),
        (_changed_again, "it was changed again since", True),
        (_another, "another one has its name", False),
        (lambda server: server.runs.clear(), "it is not there any more", False),
    ],
)
async def test_what_was_open_at_the_last_start_is_looked_up(
    server: ChangingServer,
    tmp_path: Path,
    since: Callable[[ChangingServer], None],
    said: str,
    takes_back: bool,
) -> None:
    store = Store(tmp_path)
    async with server.client() as client:
        plan = await service_plan(client)
        base = plan.base
        after = applying.replace(base, spec=plan.expected, deployment=base.deployment + 1)
        kept = kept_of(base, after)
        store.keep_sent(CHAT, Sent("1f", kept.at, 0, "ada", "apply", kept))
        since(server)
        (line,) = await look_up(client, "main", store, server="http://server")
        assert said in line
        assert line.startswith("`apply` of chat was sent at ")
        assert await look_up(client, "main", store, server="http://server") == [], "said once"
    (entry,) = lines(store.audit_path)
    assert (entry["sent"], entry["user"]) == ("1f", "ada")
    assert (store.applied(CHAT) is not None) == takes_back


async def test_what_can_not_be_looked_up_stays_open(server: ChangingServer, tmp_path: Path) -> None:
    store = Store(tmp_path)
    async with server.client() as client:
        base = (await service_plan(client)).base
        kept = kept_of(base, base)
        store.keep_sent(CHAT, Sent("1f", kept.at, 0, "ada", "apply", kept))
        server.faults["runs/get"] = FAULTS["401"]
        (line,) = await look_up(client, "main", store, server="http://server")
        assert "can't be read" in line
        assert store.open_changes("http://server", "main")


async def test_answers_that_are_right_are_taken_as_ever(
    server: ChangingServer, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    async with server.client() as client:
        for planner in (service_plan, fleet_plan, new_fleet_plan):
            done = await perform(client, await planner(client), store, user="ada")
            assert done.notices == ()
        base = await read_fleet(client, "main", "fresh")
        await delete(client, base, store, user="ada")
    assert [line["result"] == "sent" for line in lines(store.audit_path)] == [True, False] * 4


@pytest.mark.parametrize("what", ["rebalance", "delete", "delete_instances"])
async def test_no_write_ends_in_an_error_without_a_sentence(
    server: ChangingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    store = Store(tmp_path)

    async def fails(*_: object) -> None:
        raise ZeroDivisionError

    async with server.client() as client:
        resource = client.placements if what == "rebalance" else client.fleets
        monkeypatch.setattr(resource, what, fails)
        service = await read_service(client, "main", "chat")
        fleet = await read_fleet(client, "main", "fleet-1")
        numbers = [1] if what == "delete_instances" else []
        write = (
            rebalance(client, service, store)
            if what == "rebalance"
            else delete(client, fleet, store, numbers)
        )
        with pytest.raises(UnknownOutcomeError, match="this program failed"):
            await write
    assert ends(store.audit_path)[0]["result"].startswith("not known: ")


@pytest.mark.parametrize("there", [True, False])
async def test_a_refused_deletion_of_instances_is_one_where_they_are_still_there(
    server: ChangingServer, tmp_path: Path, there: bool
) -> None:
    store = Store(tmp_path)
    status = "idle" if there else "terminating"
    server.instances = [answers.instance(1, server.fleets[0], status=status)]
    async with server.client() as client:
        fleet = await read_fleet(client, "main", "fleet-1")
        server.faults["fleets/delete_instances"] = FAULTS["403 of the server"]
        with pytest.raises(errors.ForbiddenError if there else UnansweredError):
            await delete(client, fleet, store, [1])
    (end,) = ends(store.audit_path)
    assert ("not deleted" in end["result"]) == there
    assert end["result"].startswith("not known: ") != there
