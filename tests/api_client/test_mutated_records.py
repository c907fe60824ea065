"""Slips in many records at once: each costs its own record, and nothing of any other.

What escapes or is lost is halved down to the slip that did it. The seed is printed;
`DSTACK_FLEETS_TESTS_MANY=1` tries more, `DSTACK_FLEETS_TESTS_SEED` the same again.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest

from dstack_api_client import fault_log
from dstack_api_client.feed.feed import Feed
from dstack_api_client.feed.update import ConnectionState
from dstack_api_client.model.fleet import Fleet
from dstack_api_client.model.replica import FINISHED
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.routers.watch import OverSsh, read_router
from dstack_api_client.transport import requests
from dstack_api_client.transport.client import Client
from dstack_api_client.transport.records import Unreadable
from dstack_fleets_tui.headless.kinds import KINDS
from tests.builders.crowd import POLLS, VERSIONS, Crowd, Key
from tests.builders.generation import MANY, PARTS, SEED
from tests.builders.halving import Slips, halved
from tests.builders.planned import plan_slipped
from tests.builders.shown import show
from tests.builders.slips import at_once

pytestmark = pytest.mark.usefixtures("no_fault_is_hidden")

#: Slips that are tried, over all versions.
SLIPS = 100_000 * MANY or 5_000
#: What is said where nothing has a slip, by version.
_known: dict[str, dict[Key, Any]] = {}
#: Seconds between two polls: what is read by turns is read at each.
_BETWEEN_POLLS = 60.0
#: The share of runs, fleets and events that have slips in each poll.
_SHARE = 0.9
_KINDS_SHOWN = 3 if MANY else 1
#: Polls after which all has been read that is read by turns.
_BY_TURNS = 3
#: The poll after which routers are looked at.
_WITH_ROUTERS = 2


@pytest.mark.generated
@pytest.mark.parametrize("part", PARTS)
async def test_a_slip_in_a_record_costs_that_record(part: int) -> None:
    print(f"seed {SEED}")  # noqa: T201
    made = planned = 0
    found: dict[str, str] = {}
    number = part
    while made < SLIPS // len(PARTS):
        seed, version = f"{SEED} {number}", VERSIONS[number % len(VERSIONS)]
        crowd, failure = await _failure(version, seed)
        made += len(crowd.tried)
        planned += crowd.planned
        if failure:
            place, said = await _named(version, seed, crowd)
            found.setdefault(place, said)
        number += len(PARTS)
    print(f"{made} slips, {planned} of them planned and followed")  # noqa: T201
    assert not found, "\n".join(f"{at}: {said}" for at, said in found.items())


async def test_a_record_that_breaks_the_reading_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be decoded is let through, as if nobody had thought of it."""
    await _right(VERSIONS[0])
    monkeypatch.setattr(requests, "NOT_DECODED", ())
    crowd, failure = await _failure(VERSIONS[0], "1")
    assert failure is not None
    _, said = await _named(VERSIONS[0], "1", crowd)
    assert said.count("Key(kind=") == 1, said
    assert "msgspec.ValidationError" in said or "ValidationError(" in said, said


async def test_a_record_that_costs_another_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one after what could not be decoded is left out with it."""
    await _right(VERSIONS[0])
    note = requests.Requests.note

    def noted(self: requests.Requests, item: bytes, what: str, error: Exception) -> Unreadable:
        self.skips = True  # type: ignore[attr-defined]
        return note(self, item, what, error)

    decode = requests.Requests._whole_or_not

    def decoded(self: requests.Requests, *args: Any) -> Any:
        found = decode(self, *args)
        if self.__dict__.pop("skips", False):
            raise msgspec.ValidationError("the one before it could not be decoded")
        return found

    monkeypatch.setattr(requests.Requests, "note", noted)
    monkeypatch.setattr(requests.Requests, "_whole_or_not", decoded)
    crowd, failure = await _failure(VERSIONS[0], "1")
    assert isinstance(failure, AssertionError), failure
    _, said = await _named(VERSIONS[0], "1", crowd)
    assert said.count("Key(kind=") <= 3, said


@pytest.mark.parametrize("version", VERSIONS)
async def test_without_a_slip_all_of_it_is_read(version: str) -> None:
    assert {key.kind for key in await _right(version)} >= {"fleet", "instance", "run"}


async def _failure(
    version: str, seed: str, only: Collection[tuple[int, Key]] | None = None
) -> tuple[Crowd, Exception | None]:
    """Plays a round; what it brought up."""
    crowd = Crowd(version)
    try:
        await _round(crowd, version, seed, only)
    except Exception as error:
        return crowd, error
    return crowd, None


async def _named(version: str, seed: str, crowd: Crowd) -> tuple[str, str]:
    """What a failure is called, and the slip that brought it up."""

    async def fails(slips: Slips) -> bool:
        return (await _failure(version, seed, slips))[1] is not None

    at = await halved(list(crowd.tried), fails)
    crowd, failure = await _failure(version, seed, at)
    assert failure is not None
    said = [f"{poll}: {key}: {what}" for (poll, key), what in crowd.tried.items()]
    place = f"{at[0][1].kind}: {fault_log.place_of(failure)}"
    return place, f"{version} seed {seed}: {said}: {failure!r}"[:900]


async def _round(
    crowd: Crowd, version: str, seed: str, only: Collection[tuple[int, Key]] | None
) -> None:
    rng = random.Random(seed)
    right = await _right(version)
    async with at_once(crowd, sleep=_no_sleep) as client:
        feed = Feed(client, "main", now=lambda: crowd.now, monotonic=lambda: crowd.seconds)
        for number in range(POLLS):
            crowd.next_poll(seed, _SHARE, only, full=number % 3 != 1)
            snapshot = await _read(client, feed, crowd, full=number % 3 != 1)
            if number == _WITH_ROUTERS:
                snapshot = await _with_routers(client, snapshot, crowd)
            _compare(feed, snapshot, crowd, right)
            show(snapshot, feed, rng.sample(list(KINDS), _KINDS_SHOWN), crowd.now)
            crowd.planned += await plan_slipped(client, snapshot, crowd)
        crowd.next_poll(seed, 0.0)
        for _ in range(2):  # after which a record is forgotten that could not be read
            snapshot = await _read(client, feed, crowd, full=True)
        assert snapshot.unreadable == ()
        _compare(feed, await _with_routers(client, snapshot, crowd), crowd, right)


async def _read(client: Client, feed: Feed, crowd: Crowd, *, full: bool) -> Snapshot:
    """Polls."""
    crowd.seconds += _BETWEEN_POLLS
    async for _ in feed.poll(full=full):
        pass
    assert feed.health.state is ConnectionState.LIVE, feed.health
    snapshot = feed.snapshot
    assert snapshot is not None
    feed.focus(services=list(snapshot.services), fleets=list(snapshot.fleets))
    return snapshot


async def _with_routers(client: Client, snapshot: Snapshot, crowd: Crowd) -> Snapshot:
    views = [
        await read_router(
            client, "main", snapshot, service, over_ssh=OverSsh.NONE, now=lambda: crowd.now
        )
        for service in snapshot.services.values()
        if service.router is not None
    ]
    return replace(snapshot, routers={view.run_id: view for view in views if view is not None})


def _compare(feed: Feed, snapshot: Snapshot, crowd: Crowd, right: dict[Key, Any]) -> None:
    """Makes sure that what had no slip is there, as it is without any elsewhere."""
    said = _said(snapshot)
    for key, what in right.items():
        is_read = key in crowd.wanted if key.kind == "placement" else key.kind != "router"
        if crowd.clean(key) and (is_read or (key.kind == "router" and snapshot.routers)):
            assert said.get(key) == what, f"{key} is {said.get(key)}, not {what}"
    events = {event.id for event in feed.events}
    for key in crowd.events[-100:]:
        assert key.id in events or not crowd.clean(key), f"{key} is not known"


@dataclass(eq=False)
class _Spec:
    """A spec, however it is written."""

    digest: str
    spec: Mapping[str, Any]

    def __eq__(self, other: object) -> bool:
        """Whether two are the same; most are, to the letter."""
        assert isinstance(other, _Spec)
        return self.digest == other.digest or {**self.spec} == {**other.spec}


def _said(snapshot: Snapshot) -> dict[Key, Any]:
    """What a snapshot says of records by themselves."""
    said: dict[Key, Any] = {}
    for fleet in snapshot.fleets.values():
        said[Key("fleet", fleet.id)] = (fleet.name, fleet.status, _spec(fleet))
    for instance in snapshot.instances.values():
        said[Key("instance", instance.id)] = (instance.name, instance.status, instance.price)
    for service in snapshot.services.values():
        replicas = [snapshot.replicas[key] for key in service.replica_keys]
        # What failed is asked for by itself, a few with each reading.
        active = service.status not in FINISHED
        jobs = [(each.key, each.status, each.submission_id) for each in replicas if active]
        said[Key("run", service.id)] = (service.name, service.status, _spec(service), jobs)
    for run in snapshot.other_runs.values():
        said[Key("run", run.id)] = (run.name, run.status)
    for placement in snapshot.placements.values():
        # Since when a minimum is not held is told apart from it.
        lanes = tuple(replace(lane, deficit_since=None) for lane in placement.lanes)
        said[Key("placement", placement.run_id)] = replace(placement, lanes=lanes)
    for view in snapshot.routers.values():
        said[Key("router", view.run_id)] = view.status
    return said


def _spec(thing: Fleet | Service) -> _Spec:
    return _Spec(thing.spec_digest, thing.spec)


async def _right(version: str) -> dict[Key, Any]:
    """What is said where nothing has a slip."""
    if version not in _known:
        crowd = Crowd(version)
        crowd.next_poll("", 0.0)
        async with at_once(crowd, sleep=_no_sleep) as client:
            feed = Feed(client, "main", now=lambda: crowd.now, monotonic=lambda: crowd.seconds)
            for _ in range(_BY_TURNS):
                snapshot = await _read(client, feed, crowd, full=True)
            snapshot = await _with_routers(client, snapshot, crowd)
            show(snapshot, feed, KINDS, crowd.now)
            _known[version] = _said(snapshot)
    return _known[version]


async def _no_sleep(seconds: float) -> None:
    del seconds
