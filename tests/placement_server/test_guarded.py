"""What keeps one run, one member or one fault from holding up all others."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from dstack._internal.server import db
from dstack._internal.server.db import Database
from dstack._internal.server.services.locking import string_to_lock_id
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel

from dstack_placement.server.answers.bounds import MOST_BYTES, BoundedRoute
from dstack_placement.server.base import tables
from dstack_placement.server.base.kept import Kept
from dstack_placement.server.errors import AddonError, RunBusyError
from tests.servers.findings import findings
from tests.servers.postgres import Postgres

MINIMUMS = (
    "The `min_replicas` of `fleets` add up to 5, above the maximum replica count of 2. Lower them"
    " or raise `replicas`."
)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `guarded` found."""
    found: dict[str, Any] = findings(tmp_path_factory, "guarded_runs")
    return found


def test_a_stored_spec_that_a_plan_refuses_is_placed_all_the_same(told: dict[str, Any]) -> None:
    found = told["refused specs"]
    assert (found["counts"], found["new"]) == ({"0": 2}, 1)
    assert found["fleet"] == "near"
    assert found["lanes"] == [["near", 5, 4], ["far", 0, 0]]
    assert MINIMUMS in found["notes"]
    assert found["fault"] is None


def test_it_is_listed_beside_the_others_with_what_is_wrong(told: dict[str, Any]) -> None:
    found = told["refused specs"]["list"]
    assert {name: run["warnings"] for name, run in found["runs"].items()} == {
        "refused": [MINIMUMS],
        "fine": [],
    }
    assert found["full"] == ["refused", "fine"]


def test_it_can_be_repaired_in_place(told: dict[str, Any]) -> None:
    found = told["refused specs"]
    assert found["diff"] == ["fleets"]
    assert found["repair"] == "applied"
    assert found["again"] == MINIMUMS, "what somebody applies is judged as ever"


def test_dstack_s_own_rule_goes_on_where_the_addon_fails(told: dict[str, Any]) -> None:
    found = told["unexpected errors"]
    assert found["processed"] == {"0": 2}
    assert (found["placed"], found["nodes"], found["update"]) == ("by dstack", 7, "by dstack")
    assert found["get"] == [False, True, []]
    assert found["list"] == ["broken"]
    assert found["nobody asks"] == {"0": 2}


def test_a_fault_is_told_by_run_until_it_works_again(told: dict[str, Any]) -> None:
    found = told["unexpected errors"]
    assert found["while it fails"].startswith("reading its spec fails (KeyError, specs.py:")
    assert found["once it works"] == []
    assert found["others"] is None
    assert found["moving"].startswith("moving its replicas fails (KeyError, moves.py:")
    assert found["moves once it works"] == [1, None]
    assert found["secrets"] is False


def test_it_is_logged_once_a_minute_with_the_run_s_name(told: dict[str, Any]) -> None:
    found = told["unexpected errors"]
    line = "reading the state of its replicas failed, dstack's own rule applies"
    assert found["logged"] == [f"Run broken: {line}"]
    assert found["names"] is True
    lines, lasted, later = found["log"]
    line = "Run chat: moving its replicas failed, dstack's own rule applies"
    assert lines == [line, *[f"{line} (59 times more in the last minute)"] * 2]
    assert (lasted, later) == (149, None)


def test_nothing_is_half_done_where_moving_fails(told: dict[str, Any]) -> None:
    found = told["unexpected errors"]
    assert found["moves"] == [0, 0], "the relief that was started is not handed on"
    assert (found["rows"], found["rows once it works"]) == (0, 1)


def test_replicas_that_a_server_without_the_addon_placed_are_reported(
    told: dict[str, Any],
) -> None:
    found = told["other servers"]
    assert found["before the first look"] == []
    assert found["beside"] == [1, 3]
    assert found["events"] == [
        f"Replica {number} was placed in fleet far by a server without the add-on"
        for number in (1, 3)
    ]
    assert found["reasons"] == {
        "0": ["near", None],
        "1": ["far", "other-server"],
        "2": ["near", "priority"],
        "3": ["far", "other-server"],
        "4": ["far", "own-rule"],
    }
    assert found["while it was away"] == [1, 3]
    assert found["without lanes"] == [1, 3]


def test_a_busy_database_is_no_fault(told: dict[str, Any]) -> None:
    found = told["unexpected errors"]
    assert (found["busy"], found["kept by another"]) == ("database is locked", "busy")
    assert found["waits"] == ["_DeferSubmittedJobResult", "busy"]


def test_a_spec_that_can_not_be_read_costs_that_run(told: dict[str, Any]) -> None:
    assert told["unexpected errors"]["unreadable"] == [
        ["broken", "fine"],
        ["fine"],
        "reading its spec fails",
    ]
    assert told["unexpected errors"]["quoted"] == [False, True]


def test_what_is_too_much_is_refused_with_the_limit(told: dict[str, Any]) -> None:
    found = told["previews"]
    many = "The preview is of more than 10000 replicas. Preview fewer."
    assert (found["too many"], found["far too many"]) == (many, many)
    assert found["a range"] == {"start": 2}
    assert found["groups"] == "101 groups are to be changed. Change at most 100."
    assert found["lanes"] == "`fleets` has 10001 entries. Write at most 200."
    assert found["priority"] == "`priority` of near is above 1000000. Lower it."
    assert found["list"] == "101 runs are asked for in full. Name at most 100."


def test_replicas_of_a_preview_are_counted_and_listed_if_asked_for(told: dict[str, Any]) -> None:
    assert told["previews"]["most"] == [{"start": 10_000}, 0]
    assert told["previews"]["asked for"] == [{"start": 5}, 5]


def test_the_engine_works_beside_the_loop(told: dict[str, Any]) -> None:
    assert (told["previews"]["waited"], told["previews"]["elsewhere"]) == (True, True)


def test_a_look_reads_no_placements_of_replicas_that_ended(told: dict[str, Any]) -> None:
    looks = told["old rows"]["looks"]
    assert max(rows for rows, *_ in looks) <= 5
    assert max(statements for _, statements, *_ in looks) <= 30
    assert told["old rows"]["list"] == 2


def test_rooms_are_looked_at_when_something_depends_on_them(told: dict[str, Any]) -> None:
    asked = told["rooms"]["asked"]
    assert [what for what, is_asked in asked.items() if not is_asked] == [
        "quiet",
        "starts",
        "too many",
    ]
    assert len(asked) == 10


def test_a_quiet_look_asks_twice_and_reads_no_instance(told: dict[str, Any]) -> None:
    found = told["rooms"]
    assert (found["statements"], found["instances"]) == (2, 0)


def test_rooms_are_the_same_however_little_is_read_and_compared(told: dict[str, Any]) -> None:
    assert told["rooms"]["of a fleet"] == [2, 2, 2], "one idle, and one of four still to be made"


def test_placements_of_replicas_that_ended_are_deleted_a_few_at_a_time(
    told: dict[str, Any],
) -> None:
    found = told["old rows"]
    assert [left for _, _, left, _ in found["looks"]] == [1005, 5, 3, 3]
    assert found["left"] == [True, True, 3], "of those that live, and of one about to be made"
    assert found["why"] == ["first by priority"]
    assert found["failures"] == 3, "cooldowns stay"


def test_no_handler_and_no_override_needs_a_second_connection(told: dict[str, Any]) -> None:
    found = told["one connection"]
    handlers = ("rebalance", "cancel", "preview", "list", "get")
    assert [found[name] for name in handlers] == [True] * 5
    assert (found["active"], found["submitted"]) == (1, True)
    assert found["faults"] == [None, None]


def test_jobs_of_servers_before_groups_are_of_the_only_group(told: dict[str, Any]) -> None:
    assert told["large specs"]["groups"] == ["0"]


def test_only_lanes_are_kept_of_specs(told: dict[str, Any]) -> None:
    found = told["large specs"]
    assert found["runs"] == 51
    assert found["bytes"] / found["entries"] < 5000
    assert found["secret"] is False
    assert found["warned"] == [[], [MINIMUMS]], "an edited one is read again"


def test_what_is_kept_stays_within_its_bytes() -> None:
    kept: Kept[int, str] = Kept(1000)
    for number in range(100):
        kept.put(number, 1, "x", 100)
        assert kept.get(0, 1) == "x", "what is used stays"
    assert (len(kept), kept.bytes) == (10, 1000)
    assert kept.get(99, 2) is None
    kept.put(99, 2, "y", 50)
    assert (kept.get(99, 1), kept.get(99, 2), len(kept), kept.bytes) == (None, "y", 10, 950)
    kept.put(5, 1, "too large", 2000)
    assert (len(kept), kept.bytes) == (0, 0)


class _Body(BaseModel):
    text: str


async def test_a_body_that_is_too_large_is_read_no_further() -> None:
    router = APIRouter(route_class=BoundedRoute)

    @router.post("/asked")
    async def asked(body: _Body) -> int:
        return len(body.text)

    app = FastAPI()
    app.include_router(router)
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'{"text": "'
        for _ in range(1000):
            sent += 65536
            yield b"x" * 65536

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        assert (await client.post("/asked", json={"text": "x" * 100_000})).json() == 100_000
        refused = await client.post("/asked", content=endless())
        declared = await client.post("/asked", json={"text": "x" * 2 * MOST_BYTES})
    for answer in (refused, declared):
        assert answer.status_code == 400
        line = "The request is larger than 1024 KiB. Leave out what stays as it is."
        assert answer.json()["detail"][0]["msg"] == line
    assert sent <= 2 * MOST_BYTES


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"text": "\\u0000"}', "json"),
        (b'{"text": "\\ud800"}', "json"),
        (b'{"\\udfff": 1}', "json"),
        (b'{"text": NaN}', "json"),
        (b'{"text": -1e999}', "json"),
        (b'"\xed\xa0\x80"', "json"),
        (b"\xff\xfe", "x-www-form-urlencoded"),
    ],
)
async def test_a_body_that_no_answer_can_quote_is_refused(body: bytes, kind: str) -> None:
    """FastAPI's own answer to it fails, and PostgreSQL takes no NUL."""
    router = APIRouter(route_class=BoundedRoute)

    @router.post("/asked")
    async def asked(body: _Body) -> str:
        return body.text

    app = FastAPI()
    app.include_router(router)
    headers = {"Content-Type": f"application/{kind}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        refused = await client.post("/asked", content=body, headers=headers)
        assert refused.status_code == 400
        assert "not finite or a text with characters" in refused.json()["detail"][0]["msg"]
        fine = await client.post("/asked", json={"text": "日本 \U0001f600 1e9"})
        assert fine.json() == "日本 \U0001f600 1e9"


@pytest.mark.e2e
async def test_a_lock_that_another_server_keeps_is_waited_for_with_a_limit(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await postgres.create()
    database = Database(url)
    monkeypatch.setattr(db, "_db", database)
    monkeypatch.setattr(tables, "_LOCK_LIMIT", 1)
    run_id = uuid.uuid4()
    other = await postgres.connect(url.rpartition("/")[2])
    names = ("dstack_fleets_tables", f"dstack_fleets_runs:{run_id}")
    for name in names:
        await other.execute("SELECT pg_advisory_lock($1)", string_to_lock_id(name))
    with pytest.raises(RunBusyError, match=r"Another server .* for 1 s\. Try again\."):
        async with tables.locked_run(run_id):
            pass
    with pytest.raises(AddonError, match="Start this one again"):
        await tables.create()
    await other.close()
    await tables.create()
    async with tables.locked_run(run_id) as session:
        limit = await session.execute(tables.text("SHOW lock_timeout"))
        assert limit.scalar_one() == "0", "what is done under the lock has no limit of ours"
    await database.engine.dispose()
