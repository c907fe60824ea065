"""What a router's list and dstack's jobs come to, side by side."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dstack_api_client.model.router import RouterStatus, Source, Sync, Worker
from dstack_api_client.routers.expected import Engine, Expected
from dstack_api_client.routers.observation import Look, Outcome, Told
from dstack_api_client.routers.sync import Judged
from tests.builders.generation import cases
from tests.builders.router_cases import (
    GOOD_FOR,
    NOW,
    after,
    ago,
    entry,
    judged,
    look,
    router,
    worker,
)


def only(expected: Expected | None, *entries: dict[str, Any], **changes: Any) -> Worker:
    """The one row that comes of one worker and some entries."""
    (row,) = judged([expected] if expected else [], look(*entries), **changes).view.workers
    return row


def test_a_worker_in_sync_says_nothing() -> None:
    view = judged([worker(1)], look(entry(1))).view
    assert (view.status, view.message, view.ready, view.expected) == (
        RouterStatus.READY, "", 1, 1,
    )  # fmt: skip
    (row,) = view.workers
    assert (row.sync, row.router_health, row.job_status) == (Sync.IN_SYNC, "ready", "running")
    assert (row.role, row.load, row.model) == ("decode", 2, "acme/chat")
    assert (row.url, row.group, row.fleet) == ("http://10.0.0.1:8000", "decode", "gpu")
    assert (row.message, row.wrong, row.probes_passed) == ("", 0, True)


def test_a_worker_registered_without_a_label_is_known_by_its_address() -> None:
    assert only(worker(1), entry(1, job="")).sync is Sync.IN_SYNC


def test_a_worker_over_grpc_is_known_by_its_address_too() -> None:
    row = only(worker(1, scheme="grpc"), entry(1, job="", url="grpc://10.0.0.1:8000"))
    assert row.sync is Sync.IN_SYNC
    assert only(worker(1, scheme="grpc"), now=NOW).url == "grpc://10.0.0.1:8000"


def test_prefill_workers_have_their_role() -> None:
    listed = entry(1, worker_type="prefill", bootstrap_port=8998)
    assert only(worker(1, role="prefill"), listed).role == "prefill"
    assert only(worker(1, role="prefill")).role == "prefill"


def test_a_worker_that_just_began_is_pending_for_two_cycles() -> None:
    young = worker(1, running_since=ago(9))
    first = judged([young], look())
    (row,) = first.view.workers
    assert (row.sync, row.since, row.wrong > 0) == (Sync.PENDING, ago(9), True)
    assert first.until == after(1)
    assert only(young, now=after(2)).sync is Sync.MISSING


def test_two_cycles_are_as_long_as_the_server_says() -> None:
    young = worker(1, running_since=ago(15))
    (row,) = judged([young], look(sync_interval=10.0)).view.workers
    assert row.sync is Sync.PENDING


def test_where_it_is_not_told_since_when_it_runs_it_counts_from_the_first_look() -> None:
    unknown = worker(1, running_since=None)
    first = judged([unknown], look())
    assert first.view.workers[0].sync is Sync.PENDING
    later = judged([unknown], look(observed_at=after(11)), memory=first.memory, now=after(11))
    (row,) = later.view.workers
    assert (row.sync, row.since, row.at_least) == (Sync.MISSING, NOW, True)


def test_what_the_server_tells_of_a_worker_counts() -> None:
    told = {"job-1": Told("prefill", "grpc://10.0.0.1:8000", ago(3), None)}
    silent = worker(1, running_since=None, role=None, probes_passed=None)
    (row,) = judged([silent], look(told=told)).view.workers
    assert (row.sync, row.since, row.role) == (Sync.PENDING, ago(3), "prefill")
    assert row.url == "grpc://10.0.0.1:8000"


def test_a_worker_that_does_not_run_yet_is_pending_and_nothing_is_wrong() -> None:
    row = only(worker(1, job_status="provisioning", running_since=None))
    assert (row.sync, row.job_status, row.wrong) == (Sync.PENDING, "provisioning", 0)
    assert "once it does" in row.message


def test_a_worker_without_a_place_waits_since_its_first_attempt() -> None:
    """Each attempt is a job of its own, and between two of them it is in no list."""
    waits = worker(1, job_status="submitted", running_since=None, starting_since=ago(1200))
    first = judged([waits], look())
    between = judged([], look(), memory=first.memory)
    again = judged([replace(waits, job_id="job-9")], look(), memory=between.memory)
    (row,) = again.view.workers
    assert (row.since, row.at_least) == (ago(1200), False)
    assert only(replace(waits, starting_longer=True)).at_least


ENGINES = {
    "vllm over http": Engine("vllm", grpc=False, asks_key=False, role="regular"),
    "vllm over grpc": Engine("vllm", grpc=True, asks_key=False, role="regular"),
    "with a key": Engine("sglang", grpc=False, asks_key=True, role="regular"),
}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"probes_passed": False}, "not serving yet"),
        ({"engine": ENGINES["vllm over http"]}, "vLLM over HTTP"),
        ({"engine": ENGINES["with a key"]}, "refuses dstack's check"),
        ({"probes_passed": True}, "can't dial 10.0.0.1:8000. Fleets gpu and cpu may have no"),
        ({"probes_passed": True, "fleet": "cpu"}, "can't dial 10.0.0.1:8000. dstack tries"),
        ({"probes_passed": None}, "Either it is not serving yet, or"),
        ({"engine": ENGINES["vllm over grpc"], "probes_passed": None}, "Either it is not serving"),
    ],
)
def test_a_missing_worker_has_a_likely_cause(changes: dict[str, Any], says: str) -> None:
    row = only(worker(1, **changes))
    assert row.sync is Sync.MISSING
    assert says in row.message
    assert row.since == ago(3600)


def test_a_worker_that_the_router_lost_is_told_apart() -> None:
    before = judged([worker(1)], look(entry(1)))
    lost = judged([worker(1)], look(observed_at=after(2)), memory=before.memory, now=after(2))
    (row,) = lost.view.workers
    assert (row.sync, row.since) == (Sync.MISSING, after(2))
    assert "as after a restart" in row.message
    assert lost.until == after(8)
    still = judged([worker(1)], look(observed_at=after(9)), memory=lost.memory, now=after(9))
    assert "as after a restart" in still.view.workers[0].message
    late = judged([worker(1)], look(observed_at=after(13)), memory=still.memory, now=after(13))
    assert "can't dial" in late.view.workers[0].message
    assert (late.view.workers[0].since, late.view.workers[0].at_least) == (after(2), False)
    again = judged([worker(1)], look(entry(1), observed_at=after(14)), memory=late.memory,
                   now=after(14))  # fmt: skip
    assert again.view.workers[0].sync is Sync.IN_SYNC


def test_a_worker_whose_address_a_gone_job_holds_waits_for_that() -> None:
    view = judged([worker(1)], look(entry(1, id="old", job="job-gone"))).view
    assert [row.sync for row in view.workers] == [Sync.MISSING, Sync.STALE]
    assert "still has 10.0.0.1:8000 for a job that is gone" in view.workers[0].message


def test_an_entry_of_a_gone_job_is_stale_and_wrong_only_when_it_stays() -> None:
    first = judged([], look(entry(1)))
    (row,) = first.view.workers
    assert (row.sync, row.job_status) == (Sync.STALE, None)
    assert "with the next sync" in row.message
    later = judged([], look(entry(1), observed_at=after(11)), memory=first.memory, now=after(11))
    (stays,) = later.view.workers
    assert "has not removed it" in stays.message
    assert stays.wrong > row.wrong
    assert stays.since == NOW


def test_an_entry_of_a_job_that_stops_knows_it() -> None:
    row = only(worker(1, job_status="terminating"), entry(1))
    assert (row.sync, row.job_status) == (Sync.STALE, "terminating")
    assert row.replica == worker(1).key


def test_a_job_that_stops_and_is_not_listed_is_no_row() -> None:
    assert judged([worker(1, job_status="terminating")], look()).view.workers == ()


def test_another_address_than_its_own_is_drift() -> None:
    row = only(worker(1), entry(1, url="http://10.9.9.9:8000"))
    assert row.sync is Sync.DRIFT
    assert "dials 10.9.9.9:8000, but it is at 10.0.0.1:8000" in row.message
    assert "will not correct" in row.message
    assert row.url == "http://10.9.9.9:8000"


def test_a_stranger_is_foreign() -> None:
    row = only(None, entry(7, job=""))
    assert (row.sync, row.replica, row.job_status) == (Sync.FOREIGN, None, None)
    assert "never removes it" in row.message
    assert (
        "deletes it at the next sync" in only(None, entry(7, job=""), deletes_foreign=True).message
    )


def test_a_second_entry_is_a_duplicate() -> None:
    view = judged(
        [worker(1)], look(entry(1), entry(1, id="again", url="http://10.9.9.9:8000"))
    ).view
    assert [(row.sync, row.url) for row in view.workers] == [
        (Sync.DUPLICATE, "http://10.9.9.9:8000"),
        (Sync.IN_SYNC, "http://10.0.0.1:8000"),
    ]
    assert "delete the entry again" in view.workers[0].message
    assert len({row.key for row in view.workers}) == 2


def test_the_same_address_twice_is_a_duplicate_too() -> None:
    view = judged([worker(1)], look(entry(1, job="", id="bare"), entry(1))).view
    assert Counter(row.sync for row in view.workers) == {Sync.DUPLICATE: 1, Sync.IN_SYNC: 1}
    assert "entry bare" in view.workers[0].message


def test_ranks_of_one_worker_are_one_row() -> None:
    ranks = [entry(1, id=f"r{n}", url=f"http://10.0.0.1:8000@{n}", load=3) for n in range(4)]
    (row,) = judged([worker(1)], look(*ranks)).view.workers
    assert (row.sync, row.load, row.router_health) == (Sync.IN_SYNC, 12, "ready")
    ranks[2]["status"] = "failed"
    assert only(worker(1), *ranks).router_health == "failed"


def test_draining_is_normal_for_a_job_that_goes_and_not_for_one_that_runs() -> None:
    going = only(worker(1, job_status="terminating"), entry(1, status="draining"))
    running = only(worker(1), entry(1, status="draining"))
    assert going.sync is running.sync is Sync.DRAINING
    assert "there is nothing to do" in going.message
    assert "somebody removed it" in running.message
    assert running.wrong > going.wrong


@pytest.mark.parametrize(
    ("status", "health", "says"),
    [
        ("failed", "failed", "dstack will not repair this"),
        ("not_ready", "not ready", "dstack will not repair this"),
        ("circuit_open", "circuit open", "The router calls it circuit open, and does not"),
        ("pending", "pending", "has not found it healthy yet"),
    ],
)
def test_what_the_router_thinks_is_an_axis_of_its_own(status: str, health: str, says: str) -> None:
    row = only(worker(1), entry(1, status=status, is_healthy=False))
    assert (row.sync, row.router_health, row.job_status) == (Sync.IN_SYNC, health, "running")
    assert says in row.message
    assert row.wrong


def test_failing_probes_beside_a_ready_worker_are_told() -> None:
    row = only(worker(1, probes_passed=False), entry(1))
    assert (row.sync, row.router_health, row.probes_passed) == (Sync.IN_SYNC, "ready", False)
    assert "probes fail" in row.message
    young = worker(1, probes_passed=False, running_since=ago(50))
    first = judged([young], look(entry(1), observed_at=after(5)), now=after(5))
    assert "have not passed yet" in first.view.workers[0].message
    assert first.view.workers[0].wrong < row.wrong
    assert first.until == after(10)


def test_since_when_it_failed_is_remembered() -> None:
    seen = judged([worker(1)], look(entry(1)))
    failed = judged([worker(1)], look(entry(1, status="failed"), observed_at=after(2)),
                    memory=seen.memory, now=after(2))  # fmt: skip
    later = judged([worker(1)], look(entry(1, status="failed"), observed_at=after(60)),
                   memory=failed.memory, now=after(60))  # fmt: skip
    assert failed.view.workers[0].since == later.view.workers[0].since == after(2)
    assert f"{after(2).astimezone():%H:%M:%S}" in later.view.workers[0].message
    # Also when nothing could be seen for a while.
    blind = judged([worker(1)], None, memory=later.memory, now=after(90))
    back = judged([worker(1)], look(entry(1, status="failed"), observed_at=after(95)),
                  memory=blind.memory, now=after(95))  # fmt: skip
    assert back.view.workers[0].since == after(2)


@pytest.mark.parametrize(
    ("workers", "wrong"),
    [
        ([worker(1)], entry(1, status="failed")),
        ([worker(1)], entry(1, url="http://10.9.9.9:8000")),
        ([worker(1)], entry(1, id="again", url="http://10.9.9.9:8000")),
        ([], entry(1)),
        ([], entry(7, job="")),
    ],
    ids=["failed", "drift", "duplicate", "stale", "foreign"],
)
def test_since_when_is_not_known_of_what_the_first_look_shows(
    workers: list[Expected], wrong: dict[str, Any]
) -> None:
    right = [entry(1)] if workers else []
    both = [*right, wrong] if wrong["id"] == "again" else [wrong]

    def worst(made: Judged) -> Worker:
        return made.view.workers[0]

    def at(seconds: float, *entries: dict[str, Any], before: Judged) -> Judged:
        seen = look(*entries, observed_at=after(seconds))
        return judged(workers, seen, memory=before.memory, now=after(seconds))

    first = judged(workers, look(*both))
    assert (worst(first).since, worst(first).at_least) == (NOW, True)
    assert f"{NOW.astimezone():%H:%M:%S}" not in worst(first).message
    # It stays so, however often it is looked at, and no matter what else is there.
    again = at(4, *both, before=at(2, *both, before=first))
    assert (worst(again).since, worst(again).at_least) == (NOW, True)
    # What comes after a look in which it was not there began in between.
    back = at(8, *both, before=at(6, *right, before=again))
    assert (worst(back).since, worst(back).at_least) == (after(8), False)
    assert worst(at(10, *both, before=back)).since == after(8)


def test_a_duplicate_leaves_since_when_to_the_right_entry() -> None:
    entries = [entry(1), entry(1, id="again", url="http://10.9.9.9:8000")]
    first = judged([worker(1)], look(*entries))
    seen = look(*entries, observed_at=after(2))
    later = judged([worker(1)], seen, memory=first.memory, now=after(2))
    assert later.view.workers == first.view.workers


def test_a_running_worker_that_the_router_calls_failed_is_the_loudest() -> None:
    workers = [worker(number) for number in range(1, 8)]
    entries = [
        entry(1),
        entry(2, status="not_ready"),
        entry(4, url="http://10.9.9.9:8000"),
        entry(5),
        entry(5, id="twice", url="http://10.9.9.8:8000"),
        entry(6, status="draining"),
        entry(7, status="failed"),
        entry(8, job=""),
        entry(9),
    ]
    rows = judged(workers, look(*entries)).view.workers
    assert (rows[0].router_health, rows[0].replica) == ("failed", workers[6].key)
    assert [row.wrong for row in rows] == sorted((row.wrong for row in rows), reverse=True)
    assert {row.sync for row in rows} == {
        Sync.IN_SYNC, Sync.MISSING, Sync.DRIFT, Sync.DUPLICATE, Sync.DRAINING, Sync.FOREIGN,
        Sync.STALE,
    }  # fmt: skip
    assert all(bool(row.message) == bool(row.wrong) for row in rows)
    assert {row.key for row in rows if not row.wrong} == {"1.0", "5.0"}


# The router itself


@pytest.mark.parametrize(
    ("seen", "changes", "status", "says"),
    [
        (look(entry(1)), {}, RouterStatus.READY, ""),
        (look(), {"ready": False}, RouterStatus.NOT_READY, "no worker at all"),
        (
            look(entry(1, status="failed")),
            {"ready": False},
            RouterStatus.NOT_READY,
            "The only",
        ),
        (
            look(entry(1, status="failed")),
            {"ready": None},
            RouterStatus.NOT_READY,
            "The only",
        ),
        (
            look(entry(1), entry(2, worker_type="prefill", status="failed")),
            {"ready": False},
            RouterStatus.NOT_READY,
            "None of its prefill workers",
        ),
        (
            look(
                entry(1, worker_type="prefill"),
                entry(2, worker_type="decode"),
                entry(3, worker_type="encode", status="failed"),
            ),
            {"ready": False},
            RouterStatus.NOT_READY,
            "None of its encode workers is ready: requests with images, video or audio fail",
        ),
        (look(), {"outcome": Outcome.DOWN, "message": "Gone."}, RouterStatus.DOWN, "Gone."),
        (look(), {"outcome": Outcome.DOWN}, RouterStatus.DOWN, "does not answer"),
        (look(), {"outcome": Outcome.REFUSED}, RouterStatus.REFUSES, "API key"),
        (look(), {"outcome": Outcome.NOT_MANAGED}, RouterStatus.NOT_MANAGED, "Dynamo"),
        (look(), {"outcome": Outcome.UNKNOWN, "message": "Why."}, RouterStatus.UNKNOWN, "Why."),
    ],
)
def test_the_router_has_a_state_of_its_own(
    seen: Look, changes: dict[str, Any], status: RouterStatus, says: str
) -> None:
    view = judged([worker(1)], replace(seen, **changes)).view
    assert view.status is status
    assert says in view.message
    assert bool(view.message) == (status is not RouterStatus.READY)
    if status not in (RouterStatus.READY, RouterStatus.NOT_READY):
        assert [row.sync for row in view.workers] == [Sync.UNKNOWN]
        assert view.workers[0].router_health is None


def test_a_dynamo_router_is_not_managed_and_its_workers_come_from_the_jobs() -> None:
    view = judged([worker(1), worker(2, job_status="pulling")], None, kind="dynamo").view
    assert (view.status, view.expected, view.source) == (RouterStatus.NOT_MANAGED, 1, Source.NONE)
    assert [(row.job_status, row.wrong) for row in view.workers] == [("running", 0), ("pulling", 0)]


@pytest.mark.parametrize("kind", ["smg", "dynamo"])
@pytest.mark.parametrize(
    ("replica", "says"),
    [
        (None, "no replica of the router"),
        (router(status="provisioning"), "is provisioning"),
        (
            router(status="failed", termination_message="out of memory"),
            "has failed: out of memory. dstack starts it again only as far as",
        ),
    ],
)
def test_a_router_whose_job_does_not_run_is_down_whatever_was_seen(
    replica: Any, says: str, kind: str
) -> None:
    seen = look(entry(1)) if kind == "smg" else None
    view = judged([worker(1)], seen, router=replica, kind=kind).view
    assert view.status is RouterStatus.DOWN
    assert says in view.message
    assert view.workers[0].sync is Sync.UNKNOWN
    assert ("register with the router themselves" in view.workers[0].message) == (kind == "dynamo")


def test_an_old_look_is_no_look() -> None:
    seen = look(entry(1))
    good = judged([worker(1)], seen, now=NOW + GOOD_FOR - timedelta(seconds=1))
    assert good.view.workers[0].sync is Sync.IN_SYNC
    old = judged([worker(1)], seen, now=NOW + GOOD_FOR, blind="It hangs.")
    assert old.view.status is RouterStatus.UNKNOWN
    assert old.view.message == "The last answer is 6 s old. It hangs."
    assert (old.view.observed_at, old.view.source) == (NOW, Source.SERVER)
    assert (old.view.workers[0].sync, old.view.ready) == (Sync.UNKNOWN, 0)
    assert good.until == NOW + GOOD_FOR


def test_a_sync_that_stopped_is_told() -> None:
    view = judged([worker(1)], look(entry(1), last_sync_at=ago(29))).view
    assert view.message == ""
    view = judged([worker(1)], look(entry(1), last_sync_at=ago(200))).view
    assert (view.status, "3 m ago" in view.message) == (RouterStatus.READY, True)
    view = judged([worker(1)], look(entry(1), size=3 * 2**20)).view
    assert "3.0 MB" in view.message


# Generated cases

STATUSES = ["ready", "pending", "not_ready", "failed", "draining", None, "something new"]
JOBS = ["running", "submitted", "pulling", "terminating"]


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[Expected], list[dict[str, Any]]]:
    numbers = draw(st.lists(st.integers(1, 9), unique=True, max_size=6))
    workers = [
        worker(
            number,
            job_status=draw(st.sampled_from(JOBS)),
            running_since=draw(st.sampled_from([None, ago(1), ago(99)])),
            address=draw(st.sampled_from([None, f"10.0.0.{number}:8000", "10.0.0.1:8000"])),
            probes_passed=draw(st.sampled_from([None, True, False])),
        )
        for number in numbers
    ]
    entries = [
        entry(
            draw(st.integers(1, 9)),
            id=draw(st.sampled_from(["a", "b", "", "c"])),
            job=draw(st.sampled_from(["", "job-1", "job-2", "job-3", "elsewhere"])),
            status=draw(st.sampled_from(STATUSES)),
            load=draw(st.sampled_from([None, 0, 5])),
        )
        for _ in range(draw(st.integers(0, 6)))
    ]
    return workers, entries


@settings(max_examples=cases(400))
@given(situations(), st.floats(0, 30))
def test_whatever_the_list_says(
    situation: tuple[list[Expected], list[dict[str, Any]]], seconds: float
) -> None:
    workers, entries = situation
    made = judged(workers, look(*entries), now=after(seconds))
    rows = made.view.workers
    assert len({row.key for row in rows}) == len(rows)
    assert [row.wrong for row in rows] == sorted((row.wrong for row in rows), reverse=True)
    assert all(row.message for row in rows if row.wrong)
    assert {worker.key for worker in workers if worker.running} <= {row.replica for row in rows}
    if seconds >= GOOD_FOR.total_seconds():
        assert {row.sync for row in rows} <= {Sync.UNKNOWN}
        assert made.view.status is RouterStatus.UNKNOWN
        assert not any(row.router_health for row in rows)
        return
    for row in rows:
        if row.sync is Sync.IN_SYNC and row.wrong == 0:
            assert (row.router_health, row.job_status) == ("ready", "running")
    again = judged(workers, look(*entries), memory=made.memory, now=after(seconds))
    assert again.view == made.view
    assert (
        again.memory
        == judged(workers, look(*entries), memory=again.memory, now=after(seconds)).memory
    )


@settings(max_examples=cases(100))
@given(situations(), st.randoms(use_true_random=False))
def test_the_order_of_things_does_not_matter(
    situation: tuple[list[Expected], list[dict[str, Any]]], rng: random.Random
) -> None:
    workers, entries = situation
    # Entries that a router names alike can't be told apart.
    entries = list({one["id"] or one["url"]: one for one in entries}.values())
    view = judged(workers, look(*entries)).view
    rng.shuffle(workers)
    assert judged(workers, look(*entries)).view.workers == view.workers
