"""What gateways counted is read where the add-on tells it, and makes no placement be read again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import httpx

from dstack_api_client.join.difference import Difference, diff
from dstack_api_client.model.traffic import Traffic
from dstack_api_client.trends.trend import STEP, Measure
from dstack_api_client.trends.watch import TrendWatch
from tests.builders import answers
from tests.builders.followed_feed import following
from tests.builders.placed_services import placed, run_id
from tests.builders.snapshots import service, snapshot
from tests.servers.addon_answers import AddonServer

LIST = "placement/list"


def behind_a_gateway(server: AddonServer, name: str, *, tells: bool = True) -> AddonServer:
    """The server with a service on a gateway that has counted."""
    server.run_named(name)["service"]["url"] = "https://chat.example"
    if tells:
        server.features.append("traffic")
    counted = {"run_id": run_id(server, name), "window": 60, "requests": 192, "request_time": 0.41}
    server.traffic = [counted]
    return server


async def test_what_a_gateway_counted_is_read_with_the_list_of_placements() -> None:
    server = behind_a_gateway(placed(2), "s-1")
    known = run_id(server, "s-1")
    async with following(server) as followed:
        await followed.poll()
        for _ in range(2):
            await followed.poll()
        assert followed.snapshot.traffic == {known: Traffic(192, 60, 0.41)}
        before = followed.snapshot.traffic
        assert not (await followed.poll())[-1].difference
        assert followed.snapshot.traffic is before
        server.traffic[0]["requests"] = 60
        difference = (await followed.poll())[-1].difference
        assert difference.traffic.changed == {known}
        assert not difference.placements
        assert server.wanted[-1] == [], "no placement is read in full for it"
        assert followed.snapshot.traffic[known].per_second == 1.0
        server.traffic = []
        assert (await followed.poll())[-1].difference.traffic.gone == {known}


async def test_without_lanes_it_is_read_as_often_as_the_server_reads_it() -> None:
    server = AddonServer()
    server.runs = [answers.run(1, answers.job(0), name="chat")]
    behind_a_gateway(server, "chat")
    async with following(server) as followed:
        await followed.poll()
        assert len(followed.snapshot.traffic) == 1
        asked = 0
        for _ in range(20):
            await followed.poll(after=2.0)
            asked += server.asked[LIST]
        assert asked == 2
        server.fail = lambda path: httpx.Response(500) if path.endswith(LIST) else None
        await followed.poll(after=20.0)
        assert followed.snapshot.traffic == {}, "nobody knows what is counted now"


async def test_an_addon_that_does_not_tell_it_is_not_asked() -> None:
    server = AddonServer()
    server.runs = [answers.run(1, answers.job(0), name="chat")]
    behind_a_gateway(server, "chat", tells=False)
    async with following(server) as followed:
        await followed.poll()
        await followed.poll()
        assert not server.asked[LIST]
        (found,) = followed.snapshot.services.values()
        assert found.on_gateway
        assert followed.snapshot.traffic == {}


async def test_one_service_alone_is_read_with_it() -> None:
    server = AddonServer()
    server.runs = [answers.run(number, name=name) for number, name in enumerate(("chat", "other"))]
    for run in server.runs:
        server.place(run, managed=False, lanes=[])
    behind_a_gateway(server, "chat")
    known = run_id(server, "chat")
    async with following(server) as followed:
        found = await followed.feed.read_service("chat", with_events=True)
        assert found is not None
        assert found.traffic == {known: Traffic(192, 60, 0.41)}
        assert list(found.placements) == [known]


def test_requests_per_second_have_a_trend() -> None:
    chat, other = service("chat", on_gateway=True), service("other")
    begin = snapshot().observed_at.replace(minute=2, second=0)
    watch, before = TrendWatch(), None

    def show(seconds: int, requests: int | None = None) -> None:
        nonlocal before
        counted = {} if requests is None else {chat.id: Traffic(requests, 60, None)}
        shot = replace(
            snapshot(services=[chat, other]),
            observed_at=begin + timedelta(seconds=seconds),
            traffic=counted,
        )
        watch.look(shot, Difference() if before is None else diff(before, shot))
        before = shot

    show(0, 60)
    show(5, 180)
    show(10, 120)
    show(STEP, 30)
    show(2 * STEP)
    show(3 * STEP)
    assert watch.of_service(chat, Measure.REQUESTS).values[-3:] == (3.0, 0.5, None)
    assert not watch.of_service(other, Measure.REQUESTS).known
