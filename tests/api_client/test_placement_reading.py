"""How services are placed is read as often as it is worth."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from dstack_api_client.analysis.distribution import distribution_of
from dstack_api_client.feed.update import ConnectionState
from dstack_api_client.problems.routers import unread
from tests.builders import answers
from tests.builders.followed_feed import following, small
from tests.builders.placed_services import placed, run_id
from tests.builders.unusable import UNUSABLE
from tests.servers.addon_answers import LANES, AddonServer, lane
from tests.servers.fake_server import FakeServer

WHOLE = "baseline 2 of 9: no room"


@pytest.mark.parametrize(
    ("configuration", "lanes"),
    [
        ({}, False),
        ({"fleets": ["a", "b"]}, False),
        ({"fleets": [{"name": "a"}]}, False),
        ({"fleets": [{"name": "a", "min_replicas": None}]}, False),
        ({"fleets": [{"name": "a", "min_replicas": 0}, "b"]}, True),
        ({"fleets": [{"name": "a", "priority": 1}]}, True),
        ({"groups": [{"name": "g", "replicas": 1}], "fleets": ["a"]}, False),
        ({"groups": [{"name": "g", "replicas": 1, "fleets": ["a"]}]}, True),
    ],
)
async def test_which_services_have_lanes(configuration: dict[str, Any], lanes: bool) -> None:
    server = FakeServer()
    server.runs = [answers.run(1, answers.job(0), configuration=configuration)]
    async with following(server) as followed:
        await followed.poll()
        (service,) = followed.snapshot.services.values()
        assert service.has_lanes is lanes


async def test_lanes_may_come_from_a_profile() -> None:
    server = FakeServer()
    server.runs = [answers.run(1, answers.job(0))]
    server.runs[0]["run_spec"]["profile"] = {"name": "default", "fleets": LANES}
    async with following(server) as followed:
        await followed.poll()
        (service,) = followed.snapshot.services.values()
        assert service.has_lanes


async def test_a_stock_server_is_asked_for_no_placement() -> None:
    async with following(small()) as followed:
        await followed.poll()
        followed.feed.focus(opened_service=run_id(followed.server, "s-0"))
        await followed.poll()
        assert followed.snapshot.placements == {}
        assert not any(path.startswith("placement") for path in followed.server.asked)


async def test_without_lanes_and_nothing_open_nothing_is_asked() -> None:
    server = AddonServer()
    server.runs = [answers.run(1, answers.job(0))]
    async with following(server) as followed:
        await followed.poll()
        await followed.poll()
        assert dict(server.asked) == {"events/list": 1}
        followed.feed.focus(opened_service=server.runs[0]["id"])
        placement = server.place(server.runs[0], managed=False, lanes=[])
        await followed.poll()
        assert followed.snapshot.placements[placement["run_id"]].desired == {"0": 2}


async def test_all_services_are_read_and_then_only_what_changed() -> None:
    server = placed(10)
    async with following(server) as followed:
        await followed.poll()
        for _ in range(3):
            await followed.poll()
        assert len(followed.snapshot.placements) == 10
        assert [len(names) for names in server.wanted] == [4, 4, 2, 0]
        difference = (await followed.poll())[-1].difference
        assert server.wanted[-1] == []
        assert not difference.placements
        server.placements["s-7"]["groups"][0]["desired"] = 5
        await followed.poll()
        await followed.poll()
        assert server.wanted[-1] == ["s-7"]
        assert followed.snapshot.placements[run_id(server, "s-7")].desired == {"0": 5}


async def test_the_open_service_is_read_every_time() -> None:
    server = placed(3)
    async with following(server) as followed:
        await followed.poll()
        opened = run_id(server, "s-1")
        followed.feed.focus(opened_service=opened)
        for wanted in (7, 8):
            server.placements["s-1"]["lanes"][1]["target"] = wanted
            update = (await followed.poll())[-1]
            assert followed.snapshot.placements[opened].lanes[1].target == wanted
            assert update.difference.placements.changed == {opened}
            assert sum("placement" in path for path in server.asked) == 1


async def test_what_is_told_only_in_short_is_added() -> None:
    server = placed(1)
    server.placements["s-0"]["lanes"][0].update(deficit=1, reason="baseline 0 of 1: no room")
    server.placements["s-0"]["replicas"] = [
        {"replica_num": n, "group": "0", "job_id": f"j{n}", "state": "ready", "fleet": "fleet-2",
         "instance": None, "reason": reason, "why": f"baseline {n} of 9: no room",
         "since": answers.at(1), "cause": "no room"}
        for n, reason in enumerate(["fallback", "priority", "fallback"])
    ]  # fmt: skip
    del server.placements["s-0"]["replicas"][2]["cause"]  # an older add-on placed it
    server.placements["s-0"]["rebalancing"] = {"since": answers.at(9), "left": 2}
    async with following(server) as followed:
        await followed.poll()
        (placement,) = followed.snapshot.placements.values()
        first, second = placement.lanes
        assert (first.deficit, first.reason) == (1, "baseline 0 of 1: no room")
        whole = (first.code, first.cause, first.why) == ("", first.reason, None)
        assert whole, "an older add-on tells no cause"
        assert first.deficit_since is not None
        assert answers.seconds(first.deficit_since.isoformat()) == 5
        assert (first.fallbacks, second.fallbacks) == (0, 2)
        assert [each.cause for each in placement.replicas] == ["no room", "no room", WHOLE]
        assert (second.deficit, second.deficit_since) == (0, None)
        assert placement.rebalancing_left == 2
        assert placement.rebalancing_since is not None


@pytest.mark.parametrize(
    ("held", "code", "here"),
    [
        (1, "cooldown", "baseline 1 of 2: in cooldown until 12:00:09, no capacity; 1 more to come"),
        (1, "from_a_newer_one", None),
        (None, "cooldown", None),
    ],
)
async def test_reasons_are_read_as_codes(held: int | None, code: str, here: str | None) -> None:
    server = placed(1)
    causes = [
        {"code": code, "fleet": "fleet-1", "number": 0, "limit": 0,
         "until": "2026-05-01T12:00:09Z", "detail": "no capacity\n"},
        {"code": "more_to_come", "fleet": "", "number": 1, "until": None, "detail": ""},
    ]  # fmt: skip
    server.placements["s-0"]["lanes"][0].update(
        min_replicas=2, code="below_minimum", reason="all of it", held=held, causes=causes
    )
    async with following(server) as followed:
        await followed.poll()
        (placement,) = followed.snapshot.placements.values()
        why = placement.lanes[0].why
        assert (why and why.here) == here
        (service,) = (each for each in followed.snapshot.services.values() if each.has_lanes)
        row = distribution_of(followed.snapshot, service).rows[0]
        assert row.reason_here == (here or "all of it")


async def test_a_fault_of_the_addon_is_read() -> None:
    server = placed(1)
    fault = {"since": answers.at(7), "last_at": answers.at(9), "message": "moving fails\x1b[0m"}
    server.placements["s-0"]["fault"] = fault
    async with following(server) as followed:
        await followed.poll()
        (placement,) = followed.snapshot.placements.values()
        assert placement.fault.startswith("moving fails")
        assert "\x1b" not in placement.fault
        assert placement.fault_since is not None
        assert answers.seconds(placement.fault_since.isoformat()) == 7


async def test_an_addon_without_the_list_tells_of_the_open_service() -> None:
    server = placed(2)
    server.features.remove("list")
    async with following(server) as followed:
        await followed.poll()
        assert followed.snapshot.placements == {}
        opened = run_id(server, "s-1")
        followed.feed.focus(opened_service=opened)
        await followed.poll()
        assert list(followed.snapshot.placements) == [opened]


async def test_a_failure_keeps_what_was_known_and_the_poll_alive() -> None:
    server = placed(2)
    async with following(server) as followed:
        await followed.poll()
        known = followed.snapshot.placements
        assert len(known) == 2
        server.fail = lambda path: httpx.Response(500) if "placement" in path else None
        (update,) = await followed.poll()
        assert update.health.state is ConnectionState.LIVE
        assert followed.snapshot.placements == known


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("fault", UNUSABLE)
async def test_a_placement_that_can_not_be_read_is_told_until_it_is(
    fault: str, opened: bool
) -> None:
    server = placed(2)
    async with following(server) as followed:
        await followed.poll()
        if opened:
            server.features.remove("list")
            server.fail = lambda path: httpx.ConnectError("cut")
            await followed.poll()
            server.fail = lambda path: None
            followed.feed.focus(opened_service=run_id(server, "s-0"))
            await followed.poll()
        known = followed.snapshot.placements
        assert followed.snapshot.placement_failure == ""
        end = "placement/get" if opened else "placement/list"
        server.fail = lambda path: UNUSABLE[fault] if path.endswith(end) else None
        update = (await followed.poll())[-1]
        assert update.health.state is ConnectionState.LIVE
        assert followed.snapshot.placements == known
        failure = followed.snapshot.placement_failure
        assert failure
        service = followed.snapshot.services[run_id(server, "s-0")]
        said = distribution_of(followed.snapshot, service).notes[-1]
        assert said == f"What the placement add-on says is as it was read before. {failure}"
        plain = followed.snapshot.services[run_id(server, "plain")]
        assert failure not in " ".join(distribution_of(followed.snapshot, plain).notes)
        assert unread(followed.snapshot) == (f"Placement not read. {failure}",)
        server.fail = lambda path: None
        await followed.poll()
        assert followed.snapshot.placement_failure == ""


async def test_a_placement_that_was_never_read_is_told_as_an_estimate() -> None:
    server = placed(1)
    server.fail = lambda path: UNUSABLE["HTML"] if path.endswith("placement/list") else None
    async with following(server) as followed:
        await followed.poll()
        service = followed.snapshot.services[run_id(server, "s-0")]
        said = distribution_of(followed.snapshot, service).notes[-1]
        assert said.startswith("The placement add-on could not be read: targets are estimated")
        server.fail = lambda path: UNUSABLE["HTML"] if "placement" in path else None
    async with following(server) as followed:
        await followed.poll()
        service = followed.snapshot.services[run_id(server, "plain")]
        assert "is not known" in distribution_of(followed.snapshot, service).notes[0]


@pytest.mark.parametrize("fault", [key for key in UNUSABLE if key != "500"])
async def test_a_gateway_takes_nothing_from_the_list_that_is_read_one_by_one(fault: str) -> None:
    for kind in ("run", "fleet", "instance"):
        end = "runs/list" if kind == "run" else f"{kind}s/get"
        server = placed(2)
        server.instances = [answers.instance(1, server.fleets[0])]
        async with following(server) as followed:
            await followed.poll()
            before = followed.snapshot
            server.fail = lambda path, end=end: UNUSABLE[fault] if path.endswith(end) else None
            changed = {"run": server.runs, "fleet": server.fleets, "instance": server.instances}
            server.happens("Status changed", (kind, changed[kind][0]["id"], "s-0"))
            (update,) = await followed.poll()
            assert update.health.state is ConnectionState.STALE
            server.fail = lambda path: None
            await followed.poll()
            assert followed.snapshot.services.keys() == before.services.keys()
            assert followed.snapshot.fleets.keys() == before.fleets.keys()
            assert followed.snapshot.instances.keys() == before.instances.keys()
            assert followed.snapshot.unreadable == ()


async def test_what_ended_is_forgotten() -> None:
    server = placed(2)
    async with following(server) as followed:
        await followed.poll()
        gone = run_id(server, "s-0")
        del server.placements["s-0"]
        server.run_named("s-0")["status"] = "terminated"
        server.happens("Run status changed", ("run", gone, "s-0"))
        update = (await followed.poll())[-1]
        assert gone not in followed.snapshot.placements
        assert update.difference.placements.gone == {gone}


async def test_texts_of_the_addon_are_cleaned() -> None:
    server = placed(1)
    server.placements["s-0"]["notes"] = ["a\x1b[31mb\nc"]
    server.placements["s-0"]["lanes"] = [lane("fleet-1", reason="x\x07y")]
    async with following(server) as followed:
        await followed.poll()
        (placement,) = followed.snapshot.placements.values()
        assert placement.notes == ("a\ufffd[31mb c",)
        assert placement.lanes[0].reason == "x\ufffdy"
