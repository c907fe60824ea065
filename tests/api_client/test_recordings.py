"""What is recorded is what is played, without what is secret, and up to where a file is whole."""

from __future__ import annotations

import errno
import gzip
import json
import os
import random
import resource
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from dstack_api_client.clock import utc_now
from dstack_api_client.errors import ApiError, NotRecordedError, ReadOnlyError, RecordingError
from dstack_api_client.join.join import Answers
from dstack_api_client.model.cordon import Cordon
from dstack_api_client.model.guest import Guest
from dstack_api_client.model.traffic import Traffic
from dstack_api_client.recordings.keyed import Telling, Told
from dstack_api_client.recordings.reader import read_recording
from dstack_api_client.recordings.recorder import RecordedFeed
from dstack_api_client.recordings.replay import Replay
from dstack_api_client.recordings.replay_client import replay_client
from tests.builders import answers, routed_service
from tests.builders.apps import live
from tests.builders.followed_feed import following, small
from tests.builders.generation import SEED, cases
from tests.builders.recordings import HandClock, record, recorder
from tests.servers.fake_server import FakeServer
from tests.servers.random_life import Life


def goes_on(server: FakeServer, rng: random.Random, steps: int) -> Iterator[None]:
    """A project where things come and go, and which can't be read now and then."""
    life = Life(server, rng)
    for _ in range(steps):
        for _ in range(rng.randint(0, 4)):
            life.step()
        broken = rng.choice(["runs", "fleets", "events"]) if rng.random() < 0.1 else "nothing"
        server.fail = lambda path, what=broken: httpx.Response(500) if what in path else None
        yield


@pytest.mark.generated
@pytest.mark.parametrize("case", range(cases(10)))
async def test_what_is_played_is_what_was_recorded(case: int, tmp_path: Path) -> None:
    seed = SEED + case
    print(f"DSTACK_FLEETS_TESTS_SEED={seed}")  # noqa: T201 - to get the same case again
    rng = random.Random(seed)
    server, path = small(), tmp_path / "it.jsonl.gz"
    past = await record(path, server, goes_on(server, rng, 60))
    hand = HandClock()
    replay = Replay(read_recording(path), monotonic=hand)
    assert not replay.cut
    hand.seconds = 1e6
    played = [update async for update in replay.poll()]
    assert [(each.snapshot, each.health) for each in played] == [
        (update.snapshot, update.health) for _, update in past
    ]
    assert [each.difference for each in played] == [update.difference for _, update in past]
    for _ in range(20):
        at, then = rng.choice(past)
        replay.go(at)
        replay.pause(True)
        *_, now = [update async for update in replay.poll()]
        last = [update for moment, update in past if moment == at][-1]
        assert (now.snapshot, now.health) == (last.snapshot, last.health), then


#: Stands for everything that must not be in a file.
_SECRET = "hf_abcdefghijklmnopqrstuvwxyz"


async def test_no_secret_gets_into_a_recording(tmp_path: Path) -> None:
    server, path = small(), tmp_path / "it.jsonl"
    run = server.run_named("s-0")
    run["run_spec"]["ssh_key_pub"] = _SECRET
    run["run_spec"]["configuration"] |= {
        "env": {"HF_TOKEN": _SECRET, "PLAIN": "hunter2"},
        "registry_auth": {"username": "ada", "password": "hunter2"},
        "commands": ["serve --api-key hunter2", f"export TOKEN={_SECRET}"],
        "replicas": [{"name": "a", "count": 1, "env": [f"A={_SECRET}", "B=hunter2"]}],
        "probes": [{"url": "/", "headers": [{"name": "x", "value": "hunter2"}]}],
    }
    run["jobs"][0]["job_submissions"][-1]["termination_reason_message"] = f"login with {_SECRET}"
    server.fleets[0]["spec"]["configuration"]["ssh_config"] = {
        "ssh_key": {"public": "p", "private": "hunter2"},
        "hosts": [{"hostname": "10.0.0.1", "ssh_key": {"private": "hunter2"}}],
    }
    server.happens(f"Run updated: env TOKEN={_SECRET}", ("run", run["id"], "s-0"))
    await record(path, server, iter([None]))
    text = path.read_text()
    assert "hunter2" not in text
    assert _SECRET not in text
    assert "HF_TOKEN" in text
    assert "Run updated" in text
    replay = Replay(read_recording(path))
    shown = [update async for update in replay.poll()][-1].snapshot
    assert shown is not None
    assert shown.service_named("s-0") is not None


async def test_a_recording_is_private_and_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "it.jsonl"
    recorder(path, small()).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(RecordingError, match=r"it\.jsonl is there already\. Name another file\."):
        recorder(path, small())
    with pytest.raises(RecordingError, match="can't be written: No such file or directory"):
        recorder(tmp_path / "nowhere" / "it.jsonl", small())


async def test_a_recording_ends_where_it_is_full(tmp_path: Path) -> None:
    server, path = small(), tmp_path / "it.jsonl"
    async with following(server) as followed:
        made, ends = recorder(path, server, largest=30_000), list[str]()
        feed = RecordedFeed(followed.feed, made, lambda error: ends.append(error.message))
        for _ in range(60):
            server.now += 2.0
            assert [update async for update in feed.poll()]
    assert ends == ["The recording ended: it has 0 MB."]
    assert path.stat().st_size <= 30_000
    assert not read_recording(path).cut


async def test_a_full_disk_ends_a_recording_and_not_the_feed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, path = small(), tmp_path / "it.jsonl"

    def full(data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with following(server) as followed:
        made, ends = recorder(path, server), list[str]()
        feed = RecordedFeed(followed.feed, made, lambda error: ends.append(error.message))
        assert [update async for update in feed.poll()]
        monkeypatch.setattr(made._file, "write", full)
        for _ in range(3):
            server.now += 2.0
            assert [update async for update in feed.poll()]
    assert ends == [f"The recording ended: {path} can't be written: No space left on device."]
    assert not made.goes_on
    assert read_recording(path).lines


@pytest.mark.parametrize("name", ["it.jsonl", "it.jsonl.gz"])
async def test_a_cut_or_damaged_recording_is_played_up_to_there(name: str, tmp_path: Path) -> None:
    server, path = small(), tmp_path / name
    await record(path, server, goes_on(server, random.Random(1), 20))
    whole, data = read_recording(path), path.read_bytes()
    assert not whole.cut
    rng = random.Random(2)
    for _ in range(15):
        end = rng.randrange(len(data))
        slip = data[:end] if rng.random() < 0.5 else data[:end] + b"\x00#\xff" + data[end + 3 :]
        path.write_bytes(slip)
        try:
            found = read_recording(path)
            replay = Replay(found, monotonic=iter(range(0, 10**9, 1000)).__next__)
        except RecordingError:
            continue
        played = [update async for update in replay.poll()]
        assert 0 < len(played) <= len(whole.lines)
        assert replay.cut or len(found.lines) in (len(played), len(whole.lines))


@contextmanager
def no_room_after(size: int) -> Iterator[None]:
    """Lets the system write nothing past so many bytes of a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", ["it.jsonl", "it.jsonl.gz"])
async def test_what_can_not_be_written_at_the_end_either_ends_with_a_sentence(
    name: str, tmp_path: Path
) -> None:
    server, path = small(), tmp_path / name
    async with following(server) as followed:
        made, ends = recorder(path, server), list[str]()
        feed = RecordedFeed(followed.feed, made, lambda error: ends.append(error.message))
        assert [update async for update in feed.poll()]
        with no_room_after(path.stat().st_size + 10):
            for _ in range(3):
                server.now += 2.0
                assert [update async for update in feed.poll()]
            made.close()
    assert ends == [f"The recording ended: {path} can't be written: File too large."]
    assert read_recording(path).lines
    with no_room_after(5), pytest.raises(RecordingError, match="can't be written: File too large"):
        recorder(tmp_path / f"2{name}", server)


def spoilt(path: Path, said: Mapping[str, Mapping[str, object]]) -> Path:
    """A recording whose second moment says something else than a dashboard writes."""
    rows = path.read_bytes().splitlines()[:2]
    second = {"at": json.loads(rows[1])["at"], "values": said}
    path.write_bytes(b"\n".join([*rows, json.dumps(second).encode(), b""]))
    return path


_NAIVE, _NEVER = "2026-03-01T12:00:00", "9999-12-31T23:59:59Z"


async def test_what_no_dashboard_writes_ends_a_recording(tmp_path: Path) -> None:
    server, path = small(), tmp_path / "it.jsonl"
    await record(path, server, iter([None]))
    whole = path.read_bytes()
    for said in (
        {"health": {"now": {"state": "live", "since": _NAIVE}}},
        {"health": {"now": {"state": "live", "since": "0001-01-01T00:00:00Z"}}},
        {"state": {"observed_at": _NEVER}},
        {"state": {"clock_ahead": 10**14}},
        {"placed_at": {"x": _NEVER}, "placements": {"x": {}}},
        {"placements": {"x": [1]}, "placed_at": {"x": "2026-03-01T12:00:00Z"}},
        {"idle_since": {"x": _NAIVE}},
        {"events": {"x": {"id": 1}}},
        {"runs": {"x": 5}},
    ):
        path.write_bytes(whole)
        replay = Replay(read_recording(spoilt(path, said)))
        played = list(replay.due(replay.last))
        assert len(played) == 1, said
        assert replay.cut, said
        assert isinstance(replay.events, list)


async def test_a_time_that_can_not_be_ends_a_recording(tmp_path: Path) -> None:
    path = tmp_path / "it.jsonl"
    await record(path, small(), iter([None]))
    whole = path.read_bytes().splitlines()[:2]
    for at in ("9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2026-03-01T12:00:00"):
        path.write_bytes(b"\n".join([*whole, b'{"at":"%b"}' % at.encode(), b""]))
        found = read_recording(path)
        assert (len(found.lines), found.cut) == (1, True)
    for interval in (b"0.0", b"1e308", b"-2.0"):
        path.write_bytes(b"\n".join([whole[0].replace(b"2.0", interval), *whole[1:], b""]))
        with pytest.raises(RecordingError, match="is not a recording of a dashboard"):
            read_recording(path)


async def test_a_small_file_does_not_become_a_huge_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "it.jsonl.gz"
    await record(path, small(), iter([None]))
    head, first, *_ = gzip.decompress(path.read_bytes()).splitlines()
    empty = first[: first.index(b',"whole"')] + b"}"
    for name, bound, more in (
        ("_MOST_MOMENTS", 5, [empty] * 20),
        ("_LONGEST", 2 * len(first), [empty, empty, b"[" * 4 * len(first)]),
        ("_MOST_NAMES", first.count(b'":'), [empty, empty, first[:-1] + b',"x":{"y":1}}']),
        ("LARGEST", len(head) + 2 * len(first), [empty, empty, first]),
    ):
        path.write_bytes(gzip.compress(b"\n".join([head, first, *more, b""])))
        with monkeypatch.context() as patch:
            patch.setattr(f"dstack_api_client.recordings.reader.{name}", bound)
            found = read_recording(path)
        assert 3 <= len(found.lines) <= 4, name
        assert found.cut, name


async def test_what_is_no_recording_is_said(tmp_path: Path) -> None:
    path = tmp_path / "it"
    for content, said in (
        (b"", "is not a recording of a dashboard"),
        (b"hello\n", "is not a recording of a dashboard"),
        (b'{"dstack_fleets_recording":2}\n', r"recorded in another form \(2\)"),
        (gzip.compress(b"x"), "is not a recording of a dashboard"),
    ):
        path.write_bytes(content)
        with pytest.raises(RecordingError, match=said):
            read_recording(path)
    recorder(tmp_path / "begun", small()).close()
    with pytest.raises(RecordingError, match="ends before the first poll"):
        read_recording(tmp_path / "begun")
    with pytest.raises(RecordingError, match="can't be read: No such file"):
        read_recording(tmp_path / "nowhere")


async def test_time_passes_as_it_is_played(tmp_path: Path) -> None:
    server, path, hand = small(), tmp_path / "it.jsonl", HandClock()
    await record(path, server, iter([None] * 10))
    replay = Replay(read_recording(path), monotonic=hand)

    def into() -> float:
        return (replay.now() - replay.first).total_seconds()

    hand.seconds += 3
    assert into() == 3
    replay.play(2.0)
    hand.seconds += 3
    assert into() == 9
    replay.pause(True)
    hand.seconds += 100
    assert into() == 9
    replay.pause(False)
    hand.seconds += 100
    assert into() == 18
    assert replay.ended
    replay.go(replay.first + timedelta(seconds=5))
    assert into() == 5
    assert not replay.ended
    assert replay.neighbour(later=True) == replay.first + timedelta(seconds=6)
    assert replay.neighbour(later=False) == replay.first + timedelta(seconds=2)
    # Between two polls the one before is shown, and what was before it is brought first.
    past = list(replay.go(replay.first + timedelta(seconds=9), back=timedelta(minutes=1)))
    shown = [update.health.last_success async for update in replay.poll()]
    assert past
    assert shown[-1] == replay.first + timedelta(seconds=8)
    replay.go(replay.first)
    assert replay.neighbour(later=False) is None
    replay.go(replay.last)
    assert replay.neighbour(later=True) is None


async def test_of_what_was_not_recorded_a_sentence_says_so(tmp_path: Path) -> None:
    server, path = small(), tmp_path / "it.jsonl"
    run = server.run_named("s-0")
    server.happens("Run submitted", ("run", run["id"], "s-0"))
    server.happens("Job created", ("job", answers.ident(90), "s-0-0-0"))
    server.happens("Fleet created", ("fleet", server.fleets[0]["id"], "fleet-1"))
    await record(path, server, iter([None]))
    replay = Replay(read_recording(path), monotonic=lambda: 0.0)
    assert [update async for update in replay.poll()]
    async with replay_client(replay) as client:
        assert (await client.projects.get("main")).project_name == "main"
        found = await client.events.newest({"within_runs": [run["id"]]})
        assert {each.message for each in found} == {"Run submitted", "Job created"}
        since = utc_now() - timedelta(days=9999)
        pages = [page async for page in client.events.since(since, {"within_projects": ["x"]})]
        assert [len(page) for page in pages] == [4]
        with pytest.raises(NotRecordedError, match="The recording does not hold the "):
            await client.logs.poll("main", "s-0", "x")
        with pytest.raises(ReadOnlyError, match="This is a replay"):
            client.refuse_read_only()
        with pytest.raises(ApiError, match="This is a replay"):
            await client.fleets.delete("main", "fleet-1")


async def test_what_is_read_beside_the_answers_is_recorded_too() -> None:
    shot = replace(
        routed_service.snapshot(),
        cordons={"i-1": Cordon("i-1", "gpu", 1, "ada", "new driver", answers.START)},
        guests={"i-1": (Guest("other", "job-0-0"),)},
        traffic={"chat-id": Traffic(192, 60, 0.41)},
    )
    telling, told = Telling(), Told(shot.project)
    changed = replace(shot, placement_failure="It is away.", routers={}, clock_ahead=90, traffic={})
    for snapshot in (shot, changed, shot):
        update = live(snapshot)
        told.take(telling.changes(update, Answers({}, {}, {}), []))
        found = told.update().snapshot
        assert found is not None
        for name in ("capabilities", "placements", "placement_failure", "routers", "cordons"):
            assert getattr(found, name) == getattr(snapshot, name), name
        assert (found.guests, found.clock_ahead) == (snapshot.guests, snapshot.clock_ahead)
        assert found.traffic == snapshot.traffic
        moments = [each.observed_at for each in snapshot.routers.values()]
        assert [each.observed_at for each in found.routers.values()] == moments
