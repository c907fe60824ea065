"""What is refused before anything is sent, and that the server would have refused it too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import pytest

from dstack_api_client.edits.base.difference import NotInPlaceError
from dstack_api_client.edits.errors import EditError, InvalidEditError
from dstack_api_client.edits.offers.asking import ask_run
from dstack_api_client.edits.outlook.outlooks import Source
from dstack_api_client.edits.outlook.warnings import Risk
from dstack_api_client.edits.plan import applying, planning
from dstack_api_client.edits.plan.planning import make_plan
from dstack_api_client.edits.service import checks, texts
from dstack_api_client.edits.service.service import LANE_FIELDS, ServiceEdit
from dstack_api_client.text import one_line
from dstack_simulator.handle.handle import Handle
from tests.servers.edited_services import begin, client_of, server_says, service, stored
from tests.waiting import until

pytestmark = pytest.mark.e2e

SERVICES = {"addon": ["still"], "stock": ["trapped"]}

_FLEETS = ("configuration", "fleets")
_RATE = {"metric": "rps", "target": 10}


def _raw(edit: ServiceEdit, lanes: list[Any]) -> ServiceEdit:
    return edit.with_values({_FLEETS: lanes})


def _own(edit: ServiceEdit, **values: int) -> ServiceEdit:
    """A group with the service's lanes as its own, changed."""
    return edit.with_own_lanes("back", own=True).with_lane("back", "dice-spot", **values)


class Server(Enum):
    """What the server says to what the editor refuses."""

    SAME = "the same line"
    TOO = "no, in words of its own"
    LATER = "nothing at the plan: it would be stored and never followed"


@dataclass(frozen=True)
class Refusal:
    """An edit that is refused.

    Attributes:
        change: The edit.
        field: The field that the editor marks.
        words: What it says.
        server: What the server says.
        name: The service.
    """

    change: Callable[[ServiceEdit], ServiceEdit]
    field: str
    words: str
    server: Server = Server.SAME
    name: str = "still"


REFUSED: dict[str, Refusal] = {
    "unknown fleet": Refusal(
        lambda edit: edit.add_lane("", "gpu-nowhere"),
        "fleet",
        "does not exist. Use one of: brief-spot",
    ),
    "unknown fleet of another project": Refusal(
        lambda edit: edit.add_lane("", "other/gpu"), "fleet", "Fleet other/gpu in `fleets` does not"
    ),
    "unknown fleet of a group": Refusal(
        lambda edit: edit.with_own_lanes("back", own=True).add_lane("back", "gpu-nowhere"),
        "fleet",
        "Fleet gpu-nowhere in `fleets` of group back does not exist",
        name="parts",
    ),
    "the same fleet twice": Refusal(
        lambda edit: _raw(edit, [{"name": "still-spot", "priority": 1}, {"name": "still-spot"}]),
        "fleet",
        "appears twice",
    ),
    "maximum below minimum": Refusal(
        lambda edit: edit.with_lane("", "still-spot", min_replicas=2, max_replicas=1),
        "max_replicas",
        "is below its `min_replicas`",
    ),
    "maximum below minimum in a group": Refusal(
        lambda edit: _own(edit, min_replicas=1, max_replicas=0),
        "max_replicas",
        "is below its `min_replicas`",
        name="parts",
    ),
    "minimums above the maximum count": Refusal(
        lambda edit: edit.with_lane("", "still-spot", min_replicas=5),
        "min_replicas",
        "above the maximum replica count of 2",
    ),
    "minimums of a group above its greatest count": Refusal(
        lambda edit: _own(edit, min_replicas=2),
        "min_replicas",
        "of `fleets` of group back add up to 2, above the maximum replica count of 1",
        name="parts",
    ),
    "maximums below the minimum count": Refusal(
        lambda edit: edit.with_lane("", "still-spot", max_replicas=0),
        "max_replicas",
        "below the minimum replica count of 2",
    ),
    "maximums of a group below its least count": Refusal(
        lambda edit: _own(edit, max_replicas=0),
        "max_replicas",
        "of `fleets` of group back add up to 0, below the minimum replica count of 1",
        name="parts",
    ),
    "maximums with the router's replica": Refusal(
        lambda edit: edit.with_lane("", "dice-spot", max_replicas=2),
        "max_replicas",
        "below the minimum replica count of 3",
        name="parts",
    ),
    "negative priority": Refusal(
        lambda edit: edit.with_lane("", "still-spot", priority=-1), "priority", "is negative"
    ),
    "negative minimum": Refusal(
        lambda edit: edit.with_lane("", "still-spot", min_replicas=-1),
        "min_replicas",
        "is negative",
    ),
    "negative maximum": Refusal(
        lambda edit: edit.with_lane("", "still-spot", min_replicas=0, max_replicas=-2),
        "max_replicas",
        "is negative",
    ),
    "a range without scaling": Refusal(
        lambda edit: edit.with_replicas("0", 2, 4),
        "replicas",
        "A range needs `scaling` rules.",
        Server.TOO,
    ),
    "a range without a gateway": Refusal(
        lambda edit: edit.with_replicas("0", 2, 4).with_values(
            {("configuration", "scaling"): _RATE}
        ),
        "replicas",
        "A range needs a gateway",
        Server.LATER,
    ),
    "two replicas of a router": Refusal(
        lambda edit: edit.with_replicas("router", 2),
        "replicas",
        "A router has exactly one replica.",
        Server.TOO,
        "parts",
    ),
    "a spot policy twice": Refusal(
        lambda edit: edit.with_values({("configuration", "spot_policy"): "auto"}).with_group(
            "back", spot_policy="spot"
        ),
        "spot_policy",
        "`spot_policy` is set for the whole service",
        Server.TOO,
        "parts",
    ),
    "a reservation twice": Refusal(
        lambda edit: edit.with_values({("configuration", "reservation"): "cr-1"}).with_group(
            "back", reservation="cr-2"
        ),
        "reservation",
        "`reservation` is set for the whole service",
        Server.TOO,
        "parts",
    ),
    "no such spot policy": Refusal(
        lambda edit: edit.with_group("back", spot_policy="cheap"),
        "spot_policy",
        "There is no spot policy cheap.",
        Server.TOO,
        "parts",
    ),
    "the run's priority": Refusal(
        lambda edit: edit.with_priority(101), "run_priority", "Write 0 to 100.", Server.TOO
    ),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_refused_with_the_line_of_the_server(
    edit_addon: Handle, parts: str, what: str
) -> None:
    case = REFUSED[what]
    async with client_of(edit_addon) as client:
        edit, snapshot = await begin(client, edit_addon, case.name)
        before = edit.base
        edit = case.change(edit)
        known = checks.known_fleets(snapshot)
        (problem,) = checks.problems(edit, known)
        assert problem.field.name == case.field
        assert case.words in problem.line
        with pytest.raises(InvalidEditError) as refused:
            await make_plan(client, edit, snapshot=snapshot)
        assert refused.value.lines == (problem.line,)
        if case.server is Server.LATER:
            await ask_run(client, edit_addon.project, edit.spec)
        else:
            said = await server_says(client, edit_addon.project, edit)
            assert (one_line(problem.line) in said) == (case.server is Server.SAME), said
        assert (await stored(client, edit_addon, case.name)).spec == before.spec


async def test_lanes_are_for_services(edit_addon: Handle) -> None:
    """A service can't be made a task by its text, lanes or not."""
    async with client_of(edit_addon) as client:
        edit, _ = await begin(client, edit_addon, "still")
        text = texts.as_text(edit)
        assert "type: service" in text
        with pytest.raises(InvalidEditError) as refused:
            await texts.with_text(client, edit, text.replace("type: service", "type: task"))
        assert any("type" in line for line in refused.value.lines), refused.value.lines


@pytest.mark.parametrize(
    ("name", "value"),
    [("tags", {"a": "b"}), ("max_duration", 3600), ("home_dir", "/home")],
)
async def test_what_is_not_possible_in_place(edit_addon: Handle, name: str, value: object) -> None:
    async with client_of(edit_addon) as client:
        edit, snapshot = await begin(client, edit_addon, "still")
        edit = edit.with_values({("configuration", name): value})
        with pytest.raises(NotInPlaceError) as refused:
            await make_plan(client, edit, snapshot=snapshot)
        assert refused.value.message.startswith(f"{name}")


async def test_nothing_to_change_is_not_asked_for(edit_addon: Handle) -> None:
    async with client_of(edit_addon) as client:
        edit, snapshot = await begin(client, edit_addon, "still")
        same_again = edit.with_lane("", "still-spot", priority=5).with_lane(
            "", "still-spot", priority=0
        )
        plan = await make_plan(client, same_again, snapshot=snapshot)
        assert (plan.changes, plan.applicable, plan.action) == ((), False, "")
        with pytest.raises(EditError):
            await applying.apply(client, plan)


async def test_the_server_tells_the_dry_run(edit_addon: Handle) -> None:
    async with client_of(edit_addon) as client:
        edit, snapshot = await begin(client, edit_addon, "still")
        plan = await make_plan(
            client, edit.with_lane("", "still-spot", priority=20), snapshot=snapshot
        )
        assert plan.dry_run is not None
        assert plan.dry_run.source is Source.SERVER
        assert [lane.fleet for lane in plan.dry_run.lanes] == ["still-spot", "still-reserved"]


async def test_a_stock_server(edit_stock: Handle) -> None:
    """Counts, spot policy and reservation of groups can be changed; lanes can't."""
    # A service of its own: what is applied to it may end it where its fleet is full.
    await edit_stock.apply(service("counted", "desk", fleets=["desk-reserved"], groups=True))
    async with client_of(edit_stock) as client:
        edit, snapshot = await begin(client, edit_stock, "counted")
        assert not edit.can_edit_lanes
        for change in (
            lambda: edit.with_lane("", "desk-reserved", priority=1),
            lambda: edit.add_lane("", "desk-spot"),
            lambda: edit.remove_lane("", "desk-reserved"),
        ):
            with pytest.raises(EditError) as missing:
                change()
            assert "placement add-on" in str(missing.value)
            assert "dstack-fleets server" in str(missing.value)
        sly = edit.with_values({(*_FLEETS, "desk-reserved", "min_replicas"): 1})
        with pytest.raises(NotInPlaceError):
            await make_plan(client, sly, snapshot=snapshot)

        edit = edit.with_replicas("front", 2).with_priority(7)
        edit = edit.with_group("back", spot_policy="spot", reservation="cr-0f3a91c2d4")
        plan = await make_plan(client, edit, snapshot=snapshot)
        kinds = {change.name: change.kind.value for change in plan.changes}
        assert kinds == {
            "priority": "no restart",
            "groups front replicas": "no restart",
            "groups back spot_policy": "rolling deployment",
            "groups back reservation": "rolling deployment",
        }
        done = await applying.apply(client, plan)
        assert done.now.spec == plan.spec
        assert done.now.configuration["groups"][1]["reservation"] == "cr-0f3a91c2d4"
        assert not any(key in str(done.now.configuration["fleets"]) for key in LANE_FIELDS[1:])


@pytest.mark.slow
async def test_the_trap_of_a_full_fleet(edit_stock: Handle) -> None:
    """One more on a fleet that is full, without `retry`, ends the whole service: it is told."""
    async with client_of(edit_stock) as client:

        async def runs() -> bool:
            run = await edit_stock.run("trapped")
            return bool(run["status"] == "running")

        await until(runs, limit=60, every=0.3, what="the service runs")
        edit, snapshot = await begin(client, edit_stock, "trapped")
        plan = await make_plan(client, edit.with_replicas("0", 2), snapshot=snapshot)
        assert plan.applicable, "it is up to the operator"
        assert [(warning.key, warning.risk) for warning in plan.warnings] == [
            ("kill-trap", Risk.DANGER)
        ]
        assert "ends the whole service" in plan.warnings[0].line
        retried = edit.with_replicas("0", 2).with_values({("configuration", "retry"): True})
        now = edit.base.read_at
        waits = planning.warnings_of(retried, plan.dry_run, snapshot, now=now)
        assert [(warning.key, warning.risk) for warning in waits] == [("pending", Risk.DANGER)]
        less = await make_plan(client, edit.with_replicas("0", 0), snapshot=snapshot)
        assert [warning.key for warning in less.warnings] == ["last-replica", "cut"]
