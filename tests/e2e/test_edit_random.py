"""Random edits of services on a real server."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection

import pytest
import pytest_asyncio

from dstack_api_client.edits.errors import InvalidEditError
from dstack_api_client.edits.plan import applying, planning
from dstack_api_client.edits.plan.planning import make_plan
from dstack_api_client.edits.service import checks
from dstack_api_client.edits.service.service import LANE_FIELDS, ServiceEdit
from dstack_api_client.edits.spec.fields import same, with_fields
from dstack_api_client.transport.client import Client
from dstack_simulator.handle.handle import Handle
from tests.builders.generation import MANY, SEED, cases
from tests.servers.edited_services import (
    FLEETS,
    begin,
    client_of,
    routed_service,
    server_says,
    service,
    stored,
)

pytestmark = [pytest.mark.e2e, pytest.mark.generated, pytest.mark.slow]


#: Nobody else's: where the replicas of these services end up is left to chance.
_FLEETS = [name for name in FLEETS if name.startswith("odds-")]
_PLAIN, _MIXED = "odds", "odds-mixed"


@pytest_asyncio.fixture
async def odds(edit_addon: Handle) -> AsyncIterator[Handle]:
    """The server, with a plain service and one with replica groups, for this test alone."""
    # With retries it does not end where its lanes have no room.
    await edit_addon.apply({**service(_PLAIN, "odds"), "retry": True})
    await edit_addon.apply(routed_service(_MIXED, "odds"))
    yield edit_addon
    for name in (_PLAIN, _MIXED):
        await edit_addon.stop_run(name)


async def test_random_edits(odds: Handle) -> None:
    """Each ends in exactly what was planned, or is refused here and by the server alike."""
    print(f"DSTACK_FLEETS_TESTS_SEED={SEED}")  # noqa: T201
    rng = random.Random(SEED)
    outcomes = {name: Counter[str]() for name in (_PLAIN, _MIXED)}
    async with client_of(odds) as client:
        edit, snapshot = await begin(client, odds, _PLAIN)
        known = checks.known_fleets(snapshot)
        bases = {_PLAIN: edit.base, _MIXED: await stored(client, odds, _MIXED)}
        for number in range(cases(100)):
            name = rng.choice([_PLAIN, _PLAIN, _MIXED])
            before = bases[name]
            edit = ServiceEdit.begin(before, snapshot.capabilities)
            for _ in range(rng.randint(1, 4)):
                edit = _random_step(rng, edit)
            where = f"DSTACK_FLEETS_TESTS_SEED={SEED}, edit {number} of {name}: {edit.changes}"
            plan, lines = await _planned(client, edit, known)
            if plan is None:
                outcomes[name]["refused"] += 1
                assert all(lines), where
                if _counts(edit):
                    assert await server_says(client, odds.project, edit), (where, lines)
                now = await stored(client, odds, name)
                assert (now.deployment, now.spec) == (before.deployment, before.spec), where
                continue
            if not plan.changes:
                outcomes[name]["nothing"] += 1
                assert same(edit.spec, before.spec), where
                continue
            done = await applying.apply(client, plan)
            outcomes[name]["applied"] += 1
            assert same(done.now.spec, edit.spec), where
            assert done.now.deployment == before.deployment + 1, where
            touched = {path: was for path, (was, _) in edit.changes.items()}
            assert same(with_fields(done.now.spec, touched), before.spec), where
            bases[name] = done.now
    print(outcomes)  # noqa: T201
    # Of a few edits, chance decides how many of each service end how.
    counts, enough = (outcomes.values(), 4) if MANY else ([sum(outcomes.values(), Counter())], 0)
    for counted in counts:
        assert min(counted["applied"], counted["refused"]) > enough, outcomes


def _counts(edit: ServiceEdit) -> bool:
    """Whether the add-on judges it: of bare names the stock server's own code does, later."""
    return len(edit.pools) > 1 or any(
        edit.raw_lane("", lane.fleet).keys() & {*LANE_FIELDS} for lane in edit.lanes()
    )


async def _planned(
    client: Client, edit: ServiceEdit, known: Collection[str]
) -> tuple[planning.Plan | None, tuple[str, ...]]:
    """The plan, or the lines for which there is none."""
    try:
        return await make_plan(client, edit, known=known), ()
    except InvalidEditError as error:
        return None, error.lines or ("",)


def _random_step(rng: random.Random, edit: ServiceEdit) -> ServiceEdit:
    pool, group = rng.choice(edit.pools), rng.choice(edit.groups)
    lanes = [lane.fleet for lane in edit.lanes(pool)]
    others = [name for name in (*_FLEETS, "gpu-nowhere") if name not in lanes]
    steps: list[Callable[[], ServiceEdit]] = [
        lambda: edit.with_priority(rng.choice([0, 1, 50, 100, 101])),
        lambda: edit.with_replicas(group.name, rng.randint(0, 3)),
    ]
    if group.named:
        steps += [lambda: edit.with_own_lanes(group.name, own=not group.own_lanes)] * 2
    if others:
        new = rng.choice(others)
        steps.append(lambda: edit.add_lane(pool, new, priority=rng.randint(0, 9)))
    if lanes:
        fleet = rng.choice(lanes)
        steps += [
            lambda: edit.with_lane(pool, fleet, priority=rng.choice([None, -1, 0, 1, 5, 90])),
            lambda: edit.with_lane(pool, fleet, min_replicas=rng.choice([None, 0, 1, 2])),
            lambda: edit.with_lane(pool, fleet, max_replicas=rng.choice([None, 0, 1, 2, 9])),
            lambda: edit.move_lane(pool, fleet, rng.choice([-1, 1])),
            lambda: edit.with_order(pool, rng.sample(lanes, len(lanes))),
        ]
    if len(lanes) > 1:
        steps.append(lambda: edit.remove_lane(pool, rng.choice(lanes)))
    return rng.choice(steps)()
