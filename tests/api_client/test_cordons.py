"""Cordons: how they are read, changed, and put into words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from dstack_api_client import errors
from dstack_api_client.analysis.room_input import room
from dstack_api_client.edits.errors import EditError
from dstack_api_client.edits.outlook.warnings import Risk
from dstack_api_client.edits.perform import cordoning
from dstack_api_client.edits.perform.cordoning import CordonChange
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.feed.cordons import KnownCordons
from dstack_api_client.join.difference import diff
from dstack_api_client.model.capabilities import UNKNOWN, Capabilities
from dstack_api_client.model.cordon import BrokenMinimum, Cordon, DrainPlan, Occupant, left_line
from dstack_api_client.transport.client import Client
from dstack_api_client.whatif import DrainOutcome, DrainPrice, GivingWay
from dstack_fleets_tui.headless.kinds import fleets as printed_fleets
from dstack_fleets_tui.headless.kinds import instances as printed_instances
from dstack_fleets_tui.output.cordons import plan_lines
from dstack_fleets_tui.output.plans import drain_warnings
from dstack_fleets_tui.tables import fleets, instances
from dstack_fleets_tui.tables.looks import Looks
from dstack_fleets_tui.words import words
from dstack_widgets.table.cells import plain_text
from tests.builders import projects
from tests.builders.audit_log import ends
from tests.builders.service_edits import base

SINCE = projects.NOW - timedelta(hours=2)
ABLE = Capabilities("0.22.5", placement_version="1", features=frozenset({"cordons"}))
DRAIN = CordonChange("drain", "gpu", 1, "new driver")


def occupant(action: str = "stay", **changes: Any) -> Occupant:
    about = Occupant("main", "chat", "service", 1, 0, "0", "gpu-1", action, None, "a has no room")
    return replace(about, **changes)


def cordon(number: int | None = None, **changes: Any) -> Cordon:
    return replace(Cordon("fleet-1", "gpu", number, "ada", "new driver", SINCE), **changes)


def client(answer: Callable[[httpx.Request], httpx.Response], **options: bool) -> Client:
    return Client("http://server", "t", transport=httpx.MockTransport(answer), **options)


def sent() -> dict[str, Any]:
    """What the add-on says of one drain."""
    return {
        "project": "lab",
        "fleet_id": "f",
        "fleet": "gpu",
        "instance_id": "i",
        "instance_num": 1,
        "user": "ada",
        "reason": "new\ndriver",
        "since": SINCE.isoformat(),
        "draining_since": SINCE.isoformat(),
        "left": [{"run_name": "chat", "action": "stay", "instance": "gpu-1", "why": "full"}],
    }


async def test_cordons_are_read_where_the_server_has_them() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(200, json={"cordons": [sent()]})

    async with client(answer) as one:
        known = KnownCordons(one, "main")
        await known.read(UNKNOWN)
        assert (known.known, asked) == ({}, [])
        await known.read(ABLE)
    (found,) = known.known.values()
    assert (found.key, found.name, found.word) == ("i", "lab/gpu/1", "draining")
    assert (found.reason, found.left[0].why) == ("new driver", "full")


async def test_what_was_known_stays_after_a_failure() -> None:
    answers = [httpx.Response(200, json={"cordons": [sent()]}), httpx.Response(200, json=3)]
    clock = iter(range(0, 1000, 100))
    async with client(lambda _: answers.pop(0)) as one:
        known = KnownCordons(one, "main", monotonic=lambda: float(next(clock)))
        await known.read(ABLE)
        await known.read(ABLE)
    assert known.known
    assert known.failure


async def test_they_are_read_more_often_while_a_fleet_is_open() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(200, json={"cordons": [sent()]})

    at = 0.0
    async with client(answer) as one:
        known = KnownCordons(one, "main", monotonic=lambda: at)
        await known.read(ABLE)
        known._spent = 3.0  # which would be worth a minute
        for seconds, opened, reads in ((6, False, 1), (6, True, 2), (8, True, 2), (36, False, 3)):
            at = float(seconds)
            await known.read(ABLE, opened=opened)
            known._spent = 3.0
            assert len(asked) == reads, (seconds, opened)


async def test_a_change_is_sent_and_logged(tmp_path: Path) -> None:
    bodies = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append((request.url.path, request.content))
        return httpx.Response(200, json={"cordon": {"fleet": "gpu", "instance_num": 1}})

    store = Store(tmp_path)
    async with client(answer) as one:
        done = await cordoning.carry_out(one, base(), DRAIN, store, user="ada")
    ((path, body),) = bodies
    assert path == f"/api/project/{base().target.project}/placement/drain"
    assert httpx.Response(200, content=body).json() == {
        "fleet": "gpu",
        "instance_num": 1,
        "reason": "new driver",
        "force": False,
    }
    assert done.line.startswith("Instance gpu/1 is drained: ")
    ((action, result),) = [(each["action"], each["result"]) for each in ends(store.audit_path)]
    assert (action, result) == ("drain", f"{done.line} new driver")


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (400, {"detail": [{"msg": "no"}]}, errors.RefusedError, "not done: "),
        (200, {"cordons": []}, errors.UnansweredError, "not known: "),
        (200, None, errors.UnansweredError, "not known: "),
    ],
)
async def test_what_failed_is_logged_too(
    tmp_path: Path, status: int, body: Any, kind: type[errors.ApiError], said: str
) -> None:
    store = Store(tmp_path)
    async with client(lambda _: httpx.Response(status, json=body)) as one:
        with pytest.raises(kind):
            await cordoning.carry_out(one, base(), DRAIN, store)
    (entry,) = ends(store.audit_path)
    assert entry["result"].startswith(said)


@pytest.mark.parametrize(
    ("change", "now", "known"),
    [
        (DRAIN, {}, True),
        (DRAIN, {"reason": "old driver"}, False),
        (replace(DRAIN, reason=""), {"reason": "old driver"}, True),
        (DRAIN, {"draining_since": None}, False),
        (replace(DRAIN, force=True), {}, False),
        (replace(DRAIN, force=True), {"force": True}, True),
        (replace(DRAIN, action="cordon"), {"reason": "old driver"}, False),
        (replace(DRAIN, action="cordon"), {"draining_since": None}, True),
        (replace(DRAIN, action="uncordon"), {}, False),
    ],
)
async def test_what_was_cordoned_before_is_no_word_on_a_change_that_nobody_answered(
    tmp_path: Path, change: CordonChange, now: dict[str, Any], known: bool
) -> None:
    there = {**sent(), "project": base().target.project, **now}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/cordons"):
            return httpx.Response(200, json={"cordons": [there]})
        raise httpx.ReadError("it broke", request=request)

    store = Store(tmp_path)
    async with client(answer) as one:
        if known:
            done = await cordoning.carry_out(one, base(), change, store)
            assert done.line == change.done
        else:
            with pytest.raises(errors.UnansweredError, match="no answer says whether"):
                await cordoning.carry_out(one, base(), change, store)
    (entry,) = ends(store.audit_path)
    assert entry["result"].startswith("not known: ") != known


async def test_read_only_sends_nothing(tmp_path: Path) -> None:
    async with client(lambda _: httpx.Response(500), read_only=True) as one:
        with pytest.raises(errors.ReadOnlyError):
            await cordoning.carry_out(one, base(), DRAIN, Store(tmp_path))


def test_a_server_without_the_add_on_is_named() -> None:
    with pytest.raises(EditError, match="can't cordon or drain: its placement add-on is missing"):
        cordoning.refuse_unable(UNKNOWN)
    cordoning.refuse_unable(ABLE)


def test_a_plan_says_what_moves_what_stays_and_what_breaks() -> None:
    moves = occupant("move", to="gpu-spot", replica=2)
    task = occupant(run="train", run_type="task", why="a task is not moved")
    plan = DrainPlan((moves, task), (BrokenMinimum("chat", "", "gpu", 2, 1),))
    assert [*plan_lines(DRAIN, None, plan)] == [
        "Nothing new is placed on gpu/1: no replica, no task, no dev environment.",
        "replica 2 of chat on gpu-1 moves to gpu-spot",
        "task train on gpu-1 stays: a task is not moved",
    ]
    (broken,) = drain_warnings(plan)
    assert (broken.risk, broken.line) == (
        Risk.WARNING,
        "gpu goes below its minimum of 2 for chat: 1 left.",
    )
    costs = "The services there cost 30.00 $/h now"
    for after, line in ((24.0, f"{costs} and 24.00 $/h afterwards."), (None, f"{costs}; what")):
        assert [*plan_lines(DRAIN, None, plan, DrainOutcome(price=DrainPrice(30.0, after)))][
            -1
        ].startswith(line)
    free = DrainOutcome((GivingWay("train", 3, "gpu", "spot", "chat"),), DrainPrice(0.0, 0.0))
    gives = "replica 3 of train gives way in gpu and moves to spot: chat gets its minimum back"
    assert [*plan_lines(DRAIN, None, plan, free)][3:] == [gives], "hosts cost nothing"
    cost = replace(free, price=DrainPrice(30.0, 24.0))
    assert [*plan_lines(DRAIN, None, plan, cost)][3:] == [
        gives,
        "The services above cost 30.00 $/h now and 24.00 $/h afterwards.",
    ]
    back = CordonChange("uncordon", "gpu")
    (line,) = plan_lines(back, cordon(draining_since=SINCE))
    assert line.endswith("The drain ends; a move that is under way is finished.")
    assert left_line(plan.occupants) == "2 jobs left: 1 on the way, 1 can't move"
    assert left_line(()) == "It is empty."


def test_lists_and_json_show_who_when_and_why() -> None:
    made = projects.fleet_of("busy", "idle")
    (fleet,) = made.fleets.values()
    first, second = made.instances.values()
    fleet = replace(fleet, instance_ids=(first.id, second.id))
    own = cordon(first.num, key=first.id, draining_since=SINCE, left=(occupant(),))
    shown = replace(made, cordons={first.id: own})
    assert diff(made, shown).cordons.added == {first.id}
    looks = Looks(projects.NOW)

    row = [plain_text(cell) for cell in instances.cells(first, shown, looks)]
    assert row[2].endswith(", draining")
    assert row[-1] == "draining by ada 2h ago: new driver"
    listed = [plain_text(cell) for cell in fleets.cells(fleet, shown, looks)]
    assert " 1 draining " in listed[4]
    told = printed_instances.item(first, shown)["cordon"]
    assert (told["of"], told["user"], told["left"]) == (
        "instance",
        "ada",
        ["replica 1 of chat on gpu-1 stays: a has no room"],
    )
    assert printed_instances.item(second, shown)["cordon"] is None
    assert printed_fleets.item(fleet, shown)["cordoned_instances"] == [first.name]

    whole = replace(made, cordons={fleet.id: cordon(key=fleet.id)})
    assert printed_instances.item(second, whole)["cordon"]["of"] == "fleet"
    assert words.cordons(whole.cordons_in(fleet)) == "cordoned"
    left = (occupant(instance=first.name),)
    drained = cordon(key=fleet.id, draining_since=SINCE, left=left)
    draining = replace(made, cordons={fleet.id: drained})
    found = [draining.cordon_of(each) for each in (first, second)]
    assert [each.word for each in found if each is not None] == ["draining", "drained"]
    line = fleets.summary(fleet, looks, whole.cordon_of(fleet))
    assert "cordoned by ada 2h ago: new driver" in line


def test_what_is_cordoned_is_no_room_in_what_is_worked_out_here() -> None:
    made = projects.fleet_of("idle", "idle", changes={"kind": "ssh"})
    (fleet,) = made.fleets.values()
    first, second = made.instances.values()
    here = [first, second]
    assert room(fleet, here, {}).more == 2
    one = {first.id: cordon(first.num, key=first.id)}
    assert room(fleet, here, {}, cordons=one).more == 1
    both = {**one, second.id: cordon(second.num, key=second.id)}
    assert room(fleet, here, {}, cordons=both).why == "both hosts are cordoned"
    whole = {fleet.id: cordon(key=fleet.id)}
    found = room(fleet, here, {}, cordons=whole)
    assert (found.more, found.why) == (0, "cordoned by ada: new driver")
