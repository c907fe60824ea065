"""Plans whose answers have slips, and changes that are followed through such: nothing but errors.

The seed is printed; `DSTACK_FLEETS_TESTS_MANY=1` tries more, `DSTACK_FLEETS_TESTS_SEED` the
same again.
"""

from __future__ import annotations

import json
import random
from contextlib import aclosing
from datetime import timedelta

import pytest

from dstack_api_client import fault_log
from dstack_api_client.edits.base.base import Base, read_fleet, read_service
from dstack_api_client.edits.fleet.fleet import FleetEdit
from dstack_api_client.edits.fleet.fleets import plan_fleet
from dstack_api_client.edits.follow.following import follow
from dstack_api_client.edits.follow.following_fleets import fleet_progress, goal_of
from dstack_api_client.edits.plan.planning import make_plan
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.errors import ApiError
from dstack_api_client.feed.feed import Feed
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.transport.client import Client
from dstack_fleets_tui.editing import plan_text
from dstack_fleets_tui.output import plans
from tests.builders import answers
from tests.builders.crowd import OFFER
from tests.builders.generation import PARTS, SEED, cases
from tests.builders.slips import Slips, at_once
from tests.servers.networked_server import NetworkedServer

MUTATIONS = cases(1_200)
_NOW = answers.START + timedelta(minutes=10)
_OF_SERVICES = ("runs/get_plan", "runs/get_plan", "runs/get", "placement/preview")
_OF_FLEETS = ("fleets/get_plan", "fleets/get_plan", "fleets/get")
_FOLLOWED = ("runs/get", "placement/preview", "placement/get", "events/list", "fleets/list")


class PlanningServer(NetworkedServer):
    """A server whose plans have offers."""

    def __init__(self) -> None:
        super().__init__()
        self.instances = [answers.instance(1, self.fleets[0]), answers.instance(2, self.fleets[1])]

    def _answer(self, path, query):  # type: ignore[no-untyped-def]
        answer = super()._answer(path, query)
        if path.endswith("/get_plan"):
            plan = json.loads(answer.content)
            jobs = {"job_spec": {"replica_group": "0"}, "offers": [OFFER], "total_offers": 1}
            plan |= {"job_plans": [jobs], "offers": [OFFER], "total_offers": 1}
            return type(answer)(200, json=plan)
        return answer


async def _no_sleep(seconds: float) -> None:
    del seconds


def _client(slips: Slips) -> Client:
    return at_once(slips, sleep=_no_sleep)


async def _known(slips: Slips) -> tuple[Snapshot, Base, Base]:
    """What is there: the project, its service and its fleet."""
    async with _client(slips) as client:
        feed = Feed(client, "main", now=lambda: _NOW)
        async for _ in feed.poll():
            pass
        assert feed.snapshot is not None
        service = await read_service(client, "main", "chat")
        return feed.snapshot, service, await read_fleet(client, "main", "fleet-1")


async def _plan_service(client: Client, snapshot: Snapshot, base: Base) -> None:
    edit = ServiceEdit.begin(base, snapshot.capabilities).with_priority(7).with_replicas("0", 3)
    plan = await make_plan(client, edit, snapshot=snapshot)
    plan_text.of_service(plan)
    plans.plan_text(plan)
    json.dumps(plans.plan_item(plan))


async def _plan_fleet(client: Client, snapshot: Snapshot, base: Base) -> None:
    edit = FleetEdit.begin(base).with_field("tags", {"a": "b"})
    plan = await plan_fleet(client, edit, snapshot=snapshot)
    plan_text.of_fleet(plan)
    for seen in (True, False):
        fleet_progress(goal_of(plan), base.id, snapshot, seen=seen)


async def _follow(client: Client, snapshot: Snapshot, base: Base) -> None:
    looks = follow(client, base, snapshot.capabilities, sleep=_no_sleep)
    left = 2
    async with aclosing(looks):  # type: ignore[type-var]
        async for progress in looks:
            plans.progress_text(progress)
            plans.end_text(progress)
            json.dumps(plans.progress_item(progress))
            left -= 1
            if not left:
                return


async def _tried(slips: Slips, rng: random.Random, known: tuple[Snapshot, Base, Base]) -> None:
    snapshot, service, fleet = known
    what = rng.randrange(3)
    slips.begin(rng, rng.choice((_OF_SERVICES, _OF_FLEETS, _FOLLOWED)[what]))
    async with _client(slips) as client:
        if what == 0:
            await _plan_service(client, snapshot, service)
        elif what == 1:
            await _plan_fleet(client, snapshot, fleet)
        else:
            await _follow(client, snapshot, service)


@pytest.mark.generated
@pytest.mark.parametrize("part", PARTS)
async def test_a_plan_with_slips_is_shown_or_refused(part: int) -> None:
    print(f"seed {SEED}")  # noqa: T201
    slips = Slips(PlanningServer())
    known = await _known(slips)
    escaped: dict[str, str] = {}
    for number in range(part, MUTATIONS, len(PARTS)):
        rng = random.Random(SEED + number)
        try:
            await _tried(slips, rng, known)
        except ApiError:
            continue
        except Exception as error:
            said = f"seed {SEED + number}: {'; '.join(slips.done)}: {error!r}"
            escaped.setdefault(fault_log.place_of(error), said[-600:])
    assert escaped == {}


async def test_without_a_slip_all_is_planned_and_followed() -> None:
    slips = Slips(PlanningServer())
    snapshot, service, fleet = await _known(slips)
    slips.begin(random.Random(1), "")
    async with _client(slips) as client:
        await _plan_service(client, snapshot, service)
        await _plan_fleet(client, snapshot, fleet)
        await _follow(client, snapshot, service)
