"""What is refused before anything is sent, and that the server would have refused it too."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from typing import Any

import pytest

from dstack_api_client.cleaning import one_line
from dstack_api_client.client import Client
from dstack_api_client.edits import applying, checks, planning
from dstack_api_client.edits.asking import ask_run
from dstack_api_client.edits.dryrun import Source
from dstack_api_client.edits.errors import EditError, InvalidEditError, NotInPlaceError
from dstack_api_client.edits.fields import same, with_fields
from dstack_api_client.edits.planning import make_plan
from dstack_api_client.edits.service import LANE_FIELDS, ServiceEdit
from dstack_api_client.edits.warnings import Risk
from dstack_simulator import Simulator
from tests.e2e.editing import FLEETS, begin, client_of, service, stored
from tests.waiting import until

pytestmark = pytest.mark.e2e

_FLEETS = ("configuration", "fleets")


def _raw(edit: ServiceEdit, lanes: list[Any]) -> ServiceEdit:
    return edit.with_values({_FLEETS: lanes})


REFUSED: dict[str, tuple[Callable[[ServiceEdit], ServiceEdit], str, str]] = {
    "unknown fleet": (lambda edit: edit.add_lane("", "gpu-nowhere"), "fleet", "does not exist"),
    "the same fleet twice": (
        lambda edit: _raw(edit, [{"name": "still-spot", "priority": 1}, {"name": "still-spot"}]),
        "fleet",
        "stands twice",
    ),
    "maximum below minimum": (
        lambda edit: edit.with_lane("", "still-spot", min_replicas=2, max_replicas=1),
        "max_replicas",
        "is below its `min_replicas`",
    ),
    "minimums above the greatest count": (
        lambda edit: edit.with_lane("", "still-spot", min_replicas=5),
        "min_replicas",
        "above the greatest replica count of 2",
    ),
    "maximums below the least count": (
        lambda edit: edit.with_lane("", "still-spot", max_replicas=0),
        "max_replicas",
        "below the least replica count of 2",
    ),
    "negative": (
        lambda edit: edit.with_lane("", "still-spot", priority=-1),
        "priority",
        "is negative",
    ),
}


async def _server_says(client: Client, project: str, edit: ServiceEdit) -> str:
    """The server's own refusal of a spec."""
    with pytest.raises(InvalidEditError) as refused:
        await ask_run(client, project, edit.spec)
    return "\n".join(refused.value.lines)


@pytest.mark.parametrize("what", REFUSED)
async def test_refused_with_the_line_of_the_server(edit_addon: Simulator, what: str) -> None:
    change, field, words = REFUSED[what]
    async with client_of(edit_addon) as client:
        edit, snapshot = await begin(client, edit_addon, "still")
        edit = change(edit)
        known = checks.known_fleets(snapshot)
        (problem,) = checks.problems(edit, known)
        assert problem.field.name == field
        assert words in problem.line
        with pytest.raises(InvalidEditError) as refused:
            await make_plan(client, edit, snapshot=snapshot)
        assert refused.value.lines == (problem.line,)
        assert one_line(problem.line) in await _server_says(client, edit_addon.project, edit)


@pytest.mark.parametrize(
    ("name", "value"),
    [("tags", {"a": "b"}), ("max_duration", 3600), ("home_dir", "/home")],
)
async def test_what_is_not_possible_in_place(
    edit_addon: Simulator, name: str, value: object
) -> None:
    async with client_of(edit_addon) as client:
        edit, snapshot = await begin(client, edit_addon, "still")
        edit = edit.with_values({("configuration", name): value})
        with pytest.raises(NotInPlaceError) as refused:
            await make_plan(client, edit, snapshot=snapshot)
        assert refused.value.message.startswith(f"{name}")


async def test_nothing_to_change_is_not_asked_for(edit_addon: Simulator) -> None:
    async with client_of(edit_addon) as client:
        edit, snapshot = await begin(client, edit_addon, "still")
        same_again = edit.with_lane("", "still-spot", priority=5).with_lane(
            "", "still-spot", priority=0
        )
        plan = await make_plan(client, same_again, snapshot=snapshot)
        assert (plan.changes, plan.applicable, plan.action) == ((), False, "")
        with pytest.raises(EditError):
            await applying.apply(client, plan)


async def test_the_server_tells_the_dry_run(edit_addon: Simulator) -> None:
    async with client_of(edit_addon) as client:
        edit, snapshot = await begin(client, edit_addon, "still")
        plan = await make_plan(
            client, edit.with_lane("", "still-spot", priority=20), snapshot=snapshot
        )
        assert plan.dry_run is not None
        assert plan.dry_run.source is Source.SERVER
        assert [lane.fleet for lane in plan.dry_run.lanes] == ["still-spot", "still-reserved"]


async def test_a_stock_server(edit_stock: Simulator) -> None:
    """Counts, spot policy and reservation of groups can be changed; lanes can't."""
    # A service of its own: what is applied to it may end it where its fleet is full.
    await edit_stock.apply(service("counted", "desk", fleets=["desk-reserved"], groups=True))
    async with client_of(edit_stock) as client:
        edit, snapshot = await begin(client, edit_stock, "counted")
        assert not edit.can_edit_lanes
        for change in (
            lambda: edit.with_lane("", "dice-reserved", priority=1),
            lambda: edit.add_lane("", "dice-spot"),
            lambda: edit.remove_lane("", "dice-reserved"),
        ):
            with pytest.raises(EditError) as missing:
                change()
            assert "placement add-on" in str(missing.value)
            assert "dstack-fleets server" in str(missing.value)
        sly = edit.with_values({(*_FLEETS, "dice-reserved", "min_replicas"): 1})
        with pytest.raises(NotInPlaceError):
            await make_plan(client, sly, snapshot=snapshot)

        edit = edit.with_replicas("front", 2).with_priority(7)
        edit = edit.with_group("back", spot_policy="spot", reservation=None)
        plan = await make_plan(client, edit, snapshot=snapshot)
        kinds = {change.name: change.kind.value for change in plan.changes}
        assert kinds == {
            "priority": "no restart",
            "groups front replicas": "no restart",
            "groups back spot_policy": "rolling deployment",
        }
        done = await applying.apply(client, plan)
        assert done.now.spec == plan.spec
        assert not any(key in str(done.now.configuration["fleets"]) for key in LANE_FIELDS[1:])


async def test_the_trap_of_a_full_fleet(edit_stock: Simulator) -> None:
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
        assert [(warning.key, warning.risk) for warning in waits] == [("pending", Risk.WARNING)]
        less = await make_plan(client, edit.with_replicas("0", 0), snapshot=snapshot)
        assert [warning.key for warning in less.warnings] == ["last-replica"]


async def test_two_hundred_random_edits(edit_addon: Simulator) -> None:
    """Each ends in exactly what was planned, or is refused here and by the server alike."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201
    rng = random.Random(seed)
    outcomes = {"applied": 0, "nothing": 0, "refused": 0}
    async with client_of(edit_addon) as client:
        edit, snapshot = await begin(client, edit_addon, "dice")
        known = checks.known_fleets(snapshot)
        before = edit.base
        for number in range(200):
            edit = ServiceEdit.begin(before, snapshot.capabilities)
            for _ in range(rng.randint(1, 4)):
                edit = _random_step(rng, edit)
            where = f"seed {seed}, edit {number}: {edit.changes}"
            plan, lines = await _planned(client, edit, known)
            if plan is None:
                outcomes["refused"] += 1
                assert all(lines), where
                # Of bare names the stock server's own code judges, when it starts something.
                counted = (edit.raw_lane("", lane.fleet).keys() for lane in edit.lanes())
                if any(keys & {*LANE_FIELDS} for keys in counted):
                    assert await _server_says(client, edit_addon.project, edit), (where, lines)
                now = await stored(client, edit_addon, "dice")
                assert (now.deployment, now.spec) == (before.deployment, before.spec), where
                continue
            if not plan.changes:
                outcomes["nothing"] += 1
                assert same(edit.spec, before.spec), where
                continue
            done = await applying.apply(client, plan)
            outcomes["applied"] += 1
            assert same(done.now.spec, edit.spec), where
            assert done.now.deployment == before.deployment + 1, where
            touched = {path: was for path, (was, _) in edit.changes.items()}
            assert same(with_fields(done.now.spec, touched), before.spec), where
            before = done.now
    print(outcomes)  # noqa: T201
    assert min(outcomes["applied"], outcomes["refused"]) > 20, outcomes


async def _planned(
    client: Client, edit: ServiceEdit, known: Collection[str]
) -> tuple[planning.Plan | None, tuple[str, ...]]:
    """The plan, or the lines for which there is none."""
    try:
        return await make_plan(client, edit, known=known), ()
    except InvalidEditError as error:
        return None, error.lines or ("",)


def _random_step(rng: random.Random, edit: ServiceEdit) -> ServiceEdit:
    lanes = [lane.fleet for lane in edit.lanes()]
    others = [name for name in (*FLEETS, "gpu-nowhere") if name not in lanes]
    steps: list[Callable[[], ServiceEdit]] = [
        lambda: edit.with_priority(rng.choice([0, 1, 50, 100, 101])),
        lambda: edit.with_replicas("0", rng.randint(0, 3)),
    ]
    if others:
        new = rng.choice(others)
        steps.append(lambda: edit.add_lane("", new, priority=rng.randint(0, 9)))
    if lanes:
        fleet = rng.choice(lanes)
        steps += [
            lambda: edit.with_lane("", fleet, priority=rng.choice([None, -1, 0, 1, 5, 90])),
            lambda: edit.with_lane("", fleet, min_replicas=rng.choice([None, 0, 1, 2])),
            lambda: edit.with_lane("", fleet, max_replicas=rng.choice([None, 0, 1, 2, 9])),
            lambda: edit.move_lane("", fleet, rng.choice([-1, 1])),
            lambda: edit.with_order("", rng.sample(lanes, len(lanes))),
        ]
    if len(lanes) > 1:
        steps.append(lambda: edit.remove_lane("", rng.choice(lanes)))
    return rng.choice(steps)()
