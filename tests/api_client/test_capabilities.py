"""What a server can do, found out once per connection."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from dstack_api_client import errors
from dstack_api_client.edits.service.service import what_is_missing
from dstack_api_client.feed.update import ConnectionState
from dstack_api_client.model.capabilities import UNKNOWN, Capabilities
from dstack_api_client.versions import version_of
from tests.builders.followed_feed import following
from tests.builders.unusable import UNUSABLE
from tests.servers.addon_answers import FEATURES, AddonServer
from tests.servers.fake_server import FakeServer


@pytest.mark.parametrize(
    ("capabilities", "abilities"),
    [
        (Capabilities("0.22.5"), ()),
        (UNKNOWN, ()),
        (Capabilities("0.23.0", lanes=True), ("lanes",)),
        (Capabilities("0.22.5", True, "1.0", frozenset({"lanes"})), ("placement 1.0",)),
        (
            Capabilities("0.22.5", True, "1.0", frozenset(FEATURES)),
            ("placement 1.0", "router list through the server"),
        ),
    ],
)
def test_what_a_server_can_do(capabilities: Capabilities, abilities: tuple[str, ...]) -> None:
    assert capabilities.abilities == abilities


async def test_a_stock_server_is_asked_once_and_its_schema_never() -> None:
    async with following(FakeServer()) as followed:
        await followed.poll()
        assert followed.snapshot.capabilities == Capabilities("0.22.5")
        assert followed.server.asked["placement/get_info"] == 1
        assert not any("openapi" in path for path in followed.server.asked)
        await followed.poll()
        assert followed.server.asked["placement/get_info"] == 0


@pytest.mark.parametrize("status", [404, 405])
async def test_other_ways_to_say_that_there_is_no_addon(status: int) -> None:
    server, says = FakeServer(), httpx.Response(status, json={"detail": "Method Not Allowed"})
    server.fail = lambda path: says if "placement" in path else None
    async with following(server) as followed:
        await followed.poll()
        assert followed.snapshot.capabilities == Capabilities("0.22.5")


async def test_an_addon_says_what_it_can_and_the_schema_whether_lanes_go_in() -> None:
    server = AddonServer()
    async with following(server) as followed:
        await followed.poll()
        found = followed.snapshot.capabilities
        assert found == Capabilities("0.22.5", True, "1.0", frozenset(FEATURES))
        assert found.has_addon
        assert found.can("router")
        assert server.asked["/openapi.json"] == 1
    server.lane_schema = {"properties": {"name": {}}}
    async with following(server) as followed:
        await followed.poll()
        assert not followed.snapshot.capabilities.lanes


async def test_they_are_asked_again_after_a_reconnect_and_the_schema_for_another_version() -> None:
    server = AddonServer()
    async with following(server) as followed:
        await followed.poll()
        server.fail = lambda path: httpx.ConnectError("cut")
        (update,) = await followed.poll()
        assert update.health.state is ConnectionState.STALE
        server.fail = lambda path: None
        await followed.poll()
        assert server.asked["placement/get_info"] == 1
        assert server.asked["/openapi.json"] == 0
        server.fail = lambda path: httpx.ConnectError("cut")
        await followed.poll()
        server.fail = lambda path: None
        server.version, server.features = "0.22.6", ["lanes"]
        await followed.poll()
        assert followed.snapshot.capabilities == Capabilities(
            "0.22.6", True, "1.0", frozenset({"lanes"})
        )
        assert server.asked["/openapi.json"] == 1


@pytest.mark.parametrize("fault", UNUSABLE)
async def test_an_addon_that_can_not_be_asked_costs_no_poll_and_is_not_called_missing(
    fault: str,
) -> None:
    server = AddonServer()
    server.fail = lambda path: UNUSABLE[fault] if path.endswith("placement/get_info") else None
    async with following(server) as followed:
        updates = await followed.poll()
        assert updates[-1].health.state is ConnectionState.LIVE
        found = followed.snapshot.capabilities
        assert found.unread
        assert found.abilities == ("add-on not known",)
        assert followed.snapshot.placement_failure == found.unread
        assert "is not known" in what_is_missing(found)[0]
        server.fail = lambda path: None
        await followed.poll()
        assert followed.snapshot.capabilities.has_addon
        assert not followed.snapshot.placement_failure


@pytest.mark.parametrize("path", ["placement/get_info", "openapi.json"])
@pytest.mark.parametrize("fault", UNUSABLE)
async def test_what_an_addon_can_do_stays_known_while_it_can_not_be_asked(
    fault: str, path: str
) -> None:
    server = AddonServer()
    async with following(server) as followed:
        await followed.poll()
        known = followed.snapshot.capabilities
        server.fail = lambda path: httpx.ConnectError("cut")
        await followed.poll()
        if path == "openapi.json":
            server.features = [*FEATURES, "more"]  # so that the schema is read again
        server.fail = lambda each: UNUSABLE[fault] if each.endswith(path) else None
        (update,) = await followed.poll()
        assert update.health.state is ConnectionState.LIVE
        found = followed.snapshot.capabilities
        assert found.unread
        assert found.lanes
        assert found.features >= known.features
        server.fail = lambda path: None
        await followed.poll()
        assert followed.snapshot.capabilities == replace(known, features=frozenset(server.features))
        assert not followed.snapshot.placement_failure


@pytest.mark.parametrize("fault", ["HTML", "HTML 404", "204", "407", "redirect", "null"])
async def test_a_gateway_is_not_taken_for_a_server_without_events_or_project(fault: str) -> None:
    for end in ("events/list", "main/get"):
        server = FakeServer()
        server.fail = lambda path, end=end: UNUSABLE[fault] if path.endswith(end) else None
        async with following(server) as followed:
            (update,) = await followed.poll()
            assert update.health.state is ConnectionState.CONNECTING
            server.fail = lambda path: None
            await followed.poll()
            assert followed.server.asked["events/list"] == 1


async def test_a_token_that_is_not_accepted_is_told_as_such() -> None:
    server = AddonServer()
    server.fail = lambda path: httpx.Response(401) if "placement" in path else None
    async with following(server) as followed:
        (update,) = await followed.poll()
        assert update.health.state is ConnectionState.UNAUTHORISED
    assert issubclass(errors.UnauthorisedError, errors.ApiError)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("0.22.5", (0, 22, 5)),
        ("0.22.5rc1", (0, 22)),
        ("1.x.3", (1,)),
        ("0.0.0", None),
        ("main", None),
        ("\u00b2.1", None),
        ("9" * 5000, None),
        ("", None),
        (None, None),
    ],
)
def test_a_version_may_be_no_number(text: str | None, read: tuple[int, ...] | None) -> None:
    assert version_of(text) == read
