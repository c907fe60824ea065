"""What the placement add-on is asked for a dry run, and what happens to its answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from dstack_api_client.edits.errors import InvalidEditError
from dstack_api_client.edits.outlook.dryrun import dry_run
from dstack_api_client.edits.outlook.outlooks import DryRun, Source
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.transport.client import Client
from dstack_placement import engine
from dstack_placement.engine import code_of
from tests.builders import projects, service_edits
from tests.builders.previewed_edits import LANES, PREVIEWS, begun

LINE = "Fleet reserved in `fleets` does not exist. Use one of: spot."


async def asked(
    edit: ServiceEdit, status: int = 200, answer: Any = None
) -> tuple[DryRun, list[dict[str, Any]]]:
    """The dry run of an edit, and the bodies that the add-on was sent."""
    replicas = [projects.replica(0, "reserved"), projects.replica(1, "spot")]
    names = [group.name for group in edit.groups]
    groups = [projects.group(name, 2 if name == "0" else 1) for name in names]
    service = projects.service(replicas, groups)
    fleets = [projects.fleet("reserved", nodes_max=3), projects.fleet("spot", nodes_max=9)]
    snapshot = projects.project((service, replicas), fleets=fleets, capabilities=PREVIEWS)
    bodies = []

    def respond(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/api/project/main/placement/preview"
        bodies.append(json.loads(request.content))
        about = {"run_id": "s-chat", "observed_at": projects.NOW.isoformat(), "managed": True}
        return httpx.Response(status, json=about if answer is None else answer)

    async with Client("http://server", "t", transport=httpx.MockTransport(respond)) as client:
        found = await dry_run(client, edit, snapshot)
    assert found is not None
    return found, bodies


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda edit: edit, {}),
        (lambda edit: edit.with_priority(3), {}),
        (
            lambda edit: edit.with_replicas("0", 4),
            {"replicas": {"0": {"min": 4, "max": 4}}},
        ),
        (
            lambda edit: edit.with_replicas("0", 3, 8),
            {"replicas": {"0": {"min": 3, "max": 8}}},
        ),
        (
            lambda edit: edit.with_replicas("0", 4).with_lane("", "spot", min_replicas=3),
            {
                "replicas": {"0": {"min": 4, "max": 4}},
                "fleets": [
                    {"name": "reserved", "min_replicas": 1},
                    {"name": "spot", "min_replicas": 3},
                ],
            },
        ),
    ],
    ids=["nothing", "what moves nothing", "a count", "a range", "a count and its lanes"],
)
async def test_counts_are_sent_with_the_lanes_that_need_them(
    change: Callable[[ServiceEdit], ServiceEdit], expected: dict[str, Any]
) -> None:
    found, bodies = await asked(change(begun()))
    always = {"run_name": "chat", "rebalance": False, "include_replicas": True}
    assert bodies == [{**always, **expected}]
    assert found.source is Source.SERVER


@pytest.mark.parametrize("status", [200, 404])
async def test_the_engine_is_asked_here_only_where_the_server_can_not_tell(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    here: list[Any] = []
    preview = engine.preview

    def noted(*arguments: Any, **options: Any) -> engine.Plan:
        here.append(arguments)
        return preview(*arguments, **options)

    monkeypatch.setattr(engine, "preview", noted)
    await asked(begun(), status, None if status == 200 else {"detail": "Not Found"})
    assert len(here) == (status == 404)


async def test_a_refusal_is_told() -> None:
    answer = {"detail": [{"msg": LINE, "code": "error"}]}
    with pytest.raises(InvalidEditError) as refused:
        await asked(begun(), 400, answer)
    assert refused.value.lines == (LINE,)


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (404, {"detail": "Not Found"}),
        (422, {"detail": [{"loc": ["body", "replicas", "0"], "msg": "Not a valid integer"}]}),
    ],
    ids=["an add-on without previews", "an add-on that takes no ranges"],
)
async def test_an_older_addon_leaves_it_to_the_engine_here(status: int, answer: Any) -> None:
    found, bodies = await asked(begun().with_replicas("0", 4), status, answer)
    assert len(bodies) == 1
    assert found.source is Source.ENGINE
    assert found.count("start") == 2


async def test_groups_that_the_server_does_not_have_are_not_asked_for() -> None:
    """It would judge the others' lanes with the groups that are stored."""
    groups = [service_edits.group("one", fleets=LANES), service_edits.group("two")]
    edit = begun(groups=groups, replicas=None, commands=None)
    asked_for = edit.with_configuration({**edit.configuration, "groups": groups[:1]})
    found, bodies = await asked(asked_for)
    assert bodies == []
    assert found.source is Source.ENGINE
    assert len((await asked(edit))[1]) == 1


@pytest.mark.parametrize(
    ("codes", "read"), [(["out_of_reach"], ["out_of_reach", ""]), (None, ["", ""])]
)
async def test_notes_have_their_codes_where_the_addon_tells_them(
    codes: list[str] | None, read: list[str]
) -> None:
    answer = {"run_id": "s-chat", "observed_at": projects.NOW.isoformat(), "managed": True}
    answer |= {"notes": ["It is far.", "Other."]} | ({"note_codes": codes} if codes else {})
    found, _ = await asked(begun(), answer=answer)
    assert list(found.notes) == ["It is far.", "Other."]
    assert list(map(code_of, found.notes)) == read
