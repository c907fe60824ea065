"""Edits of what a server holds with slips in it, and previews with slips: nothing but errors.

The seed is printed; `DSTACK_FLEETS_TESTS_MANY=1` tries more, `DSTACK_FLEETS_TESTS_SEED` the
same again.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import httpx
import msgspec
import pytest

from dstack_api_client import fault_log
from dstack_api_client.edits.base.base import fleet_of, service_of
from dstack_api_client.edits.base.difference import difference
from dstack_api_client.edits.fleet import fleets as fleet_edits
from dstack_api_client.edits.fleet.fleet import FleetEdit
from dstack_api_client.edits.outlook.dryrun import dry_run, dry_run_here
from dstack_api_client.edits.service import checks, texts
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.errors import ApiError
from dstack_api_client.model.short_forms import Nodes
from dstack_api_client.transport.client import Client
from dstack_fleets_tui.editing import fleet_form, form, outlook
from tests.builders import answers, projects
from tests.builders.fleet_edits import BUSY, idle, shot
from tests.builders.fleet_edits import edit as edit_of_fleet
from tests.builders.generation import PARTS, SEED, cases
from tests.builders.mutations import mutated
from tests.builders.previewed_edits import PREVIEWS, begun
from tests.builders.service_edits import CONFIGURATION, WITH_LANES, group
from tests.servers.addon_answers import lane

MUTATIONS = cases(1_200)
REPLICAS = [projects.replica(0, "gpu-reserved"), projects.replica(1, "gpu-spot")]
PROJECT = projects.project(
    (projects.service(REPLICAS, [projects.group("0", 2)]), REPLICAS),
    fleets=[projects.fleet("gpu-reserved", nodes_max=3), projects.fleet("gpu-spot", nodes_max=9)],
    capabilities=PREVIEWS,
)
RUN = {
    "id": "s-chat",
    "status": "running",
    "deployment_num": 3,
    "service": {"url": "/proxy/services/main/chat/"},
    "run_spec": {
        "run_name": "chat",
        "configuration": {
            **CONFIGURATION,
            "groups": [group("front", router={"type": "sglang"}), group("decode", fleets=["x"])],
            "scaling": {"metric": "rps", "target": 10},
            "tags": {"env": "prod"},
        },
        "profile": {"fleets": None},
    },
}
FLEET = {
    **answers.fleet(1),
    "spec": {
        "configuration": {
            "type": "fleet",
            "name": "fleet-1",
            "nodes": {"min": 1, "target": 2, "max": 4},
            "resources": {"gpu": {"name": ["H100"], "count": {"min": 8, "max": 8}}},
            "backends": ["aws"],
            "max_price": 12.5,
            "tags": {"env": "prod"},
        },
        "profile": {},
    },
}
PREVIEW = {
    "run_id": "s-chat",
    "observed_at": answers.at(1),
    "managed": True,
    "lanes": [lane("gpu-reserved", cooldown_until=answers.at(9)), lane("gpu-spot", after=3)],
    "replicas": [
        {"replica_num": number, "group": "0", "action": action, "fleet": "gpu-spot",
         "to": "gpu-reserved", "reason": "minimum", "why": "it is", "new": False}
        for number, action in enumerate(("stay", "start", "stop", "move", "pending"))
    ],
    "notes": ["a note"],
}  # fmt: skip


async def _tried(
    answer: Any, part: int, look: Callable[[bytes], Awaitable[None]]
) -> dict[str, str]:
    """What escaped, by where it came up."""
    print(f"seed {SEED}")  # noqa: T201
    escaped: dict[str, str] = {}
    right = msgspec.json.encode(answer)
    for number in range(part, MUTATIONS, len(PARTS)):
        body, done = mutated(right, random.Random(SEED + number))
        try:
            await look(body)
        except ApiError:
            continue
        except Exception as error:
            escaped.setdefault(
                fault_log.place_of(error), f"seed {SEED + number}: {done}: {error!r}"[:400]
            )
    return escaped


@pytest.mark.generated
@pytest.mark.parametrize("part", PARTS)
async def test_a_service_with_slips_is_edited_or_refused(part: int) -> None:
    client = Client("http://server", "t", transport=httpx.MockTransport(lambda request: None))

    async def look(body: bytes) -> None:
        base = service_of(client, "main", body)
        edit = ServiceEdit.begin(replace(base, id="s-chat"), WITH_LANES)
        text = texts.as_text(edit)
        texts.parsed(text)
        found = checks.problems(edit, checks.known_fleets(PROJECT))
        form.rows(edit, found)
        changed = edit.with_values({("configuration", "priority"): 5})
        difference(base.spec, changed.spec, "service", WITH_LANES)
        if not found:
            dry_run_here(edit, PROJECT)

    assert await _tried(RUN, part, look) == {}


@pytest.mark.generated
@pytest.mark.parametrize("part", PARTS)
async def test_a_fleet_with_slips_is_edited_or_refused(part: int) -> None:
    there = shot(idle(price=9.0), BUSY)
    (gpu,) = there.fleets.values()
    client = Client("http://server", "t", transport=httpx.MockTransport(lambda request: None))

    async def look(body: bytes) -> None:
        base = fleet_of(client, "main", body)
        base = replace(base, id=gpu.id, resource={**base.resource, "project_name": "main"})
        edit = FleetEdit.begin(base)
        fleet_edits.as_text(edit)
        fleet_form.rows(edit, edit.problems())
        changed = edit.with_field("tags", {"a": "b"}).with_nodes(Nodes(0, 0, 1))
        difference(base.spec, changed.spec, "fleet", WITH_LANES)
        if not changed.problems():
            assert fleet_edits.effects_of(changed, there) is not None

    assert await _tried(FLEET, part, look) == {}


def test_prices_of_a_profile_are_no_numbers_for_sure() -> None:
    """A cloud fleet may have them there: nothing looks at a profile before it is edited."""
    there = shot(idle(price=9.0))
    (gpu,) = there.fleets.values()
    for price in ("8.5", "cheap", [], True):
        base = replace(edit_of_fleet().base, id=gpu.id)
        spec = {**base.spec, "profile": {"max_price": price}}
        edit = FleetEdit.begin(replace(base, spec=spec))
        assert fleet_edits.effects_of(edit.with_field("tags", {"a": "b"}), there) is not None


@pytest.mark.generated
@pytest.mark.parametrize("part", PARTS)
async def test_a_preview_with_slips_is_shown_or_refused(part: int) -> None:
    edit = begun(fleets=[{"name": "gpu-reserved", "min_replicas": 1}, {"name": "gpu-spot"}])

    async def look(body: bytes) -> None:
        transport = httpx.MockTransport(lambda request: httpx.Response(200, content=body))
        async with Client("http://server", "t", transport=transport) as client:
            found = await dry_run(client, edit, PROJECT)
        if found is not None:
            assert all(line.plain is not None for line in outlook.whole(found))

    assert await _tried(PREVIEW, part, look) == {}
    await look(msgspec.json.encode(PREVIEW).replace(b'"move"', b'"of a later version"'))
    assert msgspec.json.encode(PREVIEW)
