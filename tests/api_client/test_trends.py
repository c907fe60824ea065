"""What the last 30 minutes were."""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dstack_api_client.join.difference import diff
from dstack_api_client.model.replica import ReplicaKey
from dstack_api_client.model.router import RouterStatus, RouterView, Source, Sync, Worker
from dstack_api_client.replica.metrics import Series, Use
from dstack_api_client.trends.past import Past, _Span
from dstack_api_client.trends.trend import (
    STEP,
    STEPS,
    Measure,
    Trends,
    replica_of,
    service_named,
    step_of,
)
from dstack_api_client.trends.watch import TrendWatch
from tests.builders.generation import seeds
from tests.builders.memory_client import START, event
from tests.builders.snapshots import fleet, instance, replica, service, snapshot

#: The beginning of a step, half an hour after the events begin.
NOW = START + timedelta(seconds=STEP * STEPS)
CHAT = service_named("chat")


def later(steps: float) -> datetime:
    return NOW + timedelta(seconds=STEP * steps)


def ends(trend, count):
    """The newest values of a trend."""
    return list(trend.values[-count:])


def noted(*values, measure=Measure.READY):
    """Trends with a value in each step, the last step complete."""
    trends = Trends()
    for step, value in enumerate(values):
        trends.reach(later(step))
        trends.note(CHAT, measure, value)
    trends.reach(later(len(values)))
    return trends


class Looks:
    """Shows snapshots to a watch, one after the other."""

    def __init__(self, events=()):
        self.watch = TrendWatch()
        self._events = events
        self._before = None

    def show(self, shot, steps):
        shot = replace(shot, observed_at=later(steps))
        self.watch.look(shot, diff(self._before, shot))
        for _ in self.watch.fill(shot, self._events) or ():
            continue
        self._before = shot
        return shot


def test_a_series_has_one_value_for_each_complete_step():
    trends = noted(1, 2, 3)
    assert trends.trend(CHAT, Measure.READY).values == (None,) * (STEPS - 3) + (1, 2, 3)
    trends.note(CHAT, Measure.READY, 9)  # of the step that goes on
    assert ends(trends.trend(CHAT, Measure.READY), 1) == [3]
    assert trends.trend(CHAT, Measure.READY).since == NOW
    assert trends.trend(CHAT, Measure.READY).until == later(3)


def test_the_oldest_values_go():
    trends = noted(*range(STEPS + 5))
    assert trends.trend(CHAT, Measure.READY).values == tuple(range(5, STEPS + 5))


@pytest.mark.parametrize(("measure", "kept"), [(Measure.READY, 1), (Measure.LOAD, 5)])
def test_what_was_short_is_kept(measure, kept):
    trends = Trends()
    trends.reach(NOW)
    for value in (5, 1, 3):
        trends.note(CHAT, measure, value)
    trends.reach(later(1))
    assert ends(trends.trend(CHAT, measure), 1) == [kept]


def test_a_trend_is_the_same_object_until_a_step_ends():
    trends = noted(1, 2)
    before = trends.trend(CHAT, Measure.READY)
    trends.reach(later(2.9))
    trends.note(CHAT, Measure.READY, 0)
    assert trends.trend(CHAT, Measure.READY) is before
    trends.reach(later(3))
    assert trends.trend(CHAT, Measure.READY) is not before


@given(st.lists(st.tuples(st.sampled_from(["reach", "note", "fill"]), st.integers(-2, 4))))
def test_a_trend_is_another_only_with_another_version(acts):
    trends, at, measures = noted(1, 2), 2.0, (Measure.READY, Measure.PRICE)
    for act, number in acts:
        before = trends.version, [trends.trend(CHAT, each) for each in measures]
        if act == "reach":
            at += number
            trends.reach(later(at))
        elif act == "note":
            trends.note(CHAT, measures[number % 2], number)
        else:
            trends.fill(CHAT, measures[number % 2], [(later(at - number - 0.5), 7.0)])
        after = trends.version, [trends.trend(CHAT, each) for each in measures]
        assert after[0] != before[0] or after[1] == before[1]


def test_a_late_poll_is_no_gap_and_an_hour_asleep_is_one():
    trends = noted(4)
    trends.note(CHAT, Measure.READY, 4)
    trends.reach(later(4))
    assert ends(trends.trend(CHAT, Measure.READY), 4) == [4, 4, 4, 4]
    trends.note(CHAT, Measure.READY, 4)
    trends.reach(later(10))
    trends.note(CHAT, Measure.READY, 2)
    trends.reach(later(11))
    assert ends(trends.trend(CHAT, Measure.READY), 7) == [4, None, None, None, None, None, 2]
    trends.reach(later(500))
    assert trends.trend(CHAT, Measure.READY).values == (None,) * STEPS
    assert len(trends) == 0


@pytest.mark.parametrize("back", [2, 30, 5_000])
def test_a_clock_that_is_set_back_takes_what_is_known_along(back):
    trends = noted(1, 2, 3)
    assert trends.reach(later(3 - back))
    assert ends(trends.trend(CHAT, Measure.READY), 4) == [None, 1, 2, 3]
    assert trends.trend(CHAT, Measure.READY).until == later(3 - back)
    trends.note(CHAT, Measure.READY, 7)
    trends.reach(later(4 - back))
    assert ends(trends.trend(CHAT, Measure.READY), 4) == [1, 2, 3, 7]


def test_two_looks_at_clocks_may_differ_by_a_moment():
    trends = noted(1, 2)
    assert not trends.reach(later(1.95))
    trends.note(CHAT, Measure.READY, 3)
    trends.reach(later(3))
    assert ends(trends.trend(CHAT, Measure.READY), 3) == [1, 2, 3]


def test_the_past_fills_only_what_is_not_known():
    trends = noted(1, 2)
    points = [(later(step + 0.5), 9.0) for step in (-70, -2, -1, 0, 1, 2, 3)]
    trends.fill(CHAT, Measure.READY, [*points, (later(-0.6), 5.0)])
    assert ends(trends.trend(CHAT, Measure.READY), 5) == [None, 9, 7, 1, 2]


def test_services_and_fleets_have_trends():
    looks = Looks()
    chat, gpu = service(ready=2), fleet()
    looks.show(snapshot([gpu], services=[chat]), 0)
    fewer = snapshot([replace(gpu, gpus_busy=4, price=50.0)], services=[replace(chat, ready=1)])
    looks.show(fewer, 0.5)
    looks.show(snapshot([gpu], services=[chat]), 1)
    looks.show(snapshot([gpu], services=[chat]), 2)
    of = looks.watch
    assert ends(of.of_service(chat, Measure.READY), 2) == [1, 2]
    assert ends(of.of_service(chat, Measure.DESIRED), 2) == [1, 1]
    assert ends(of.of_fleet(gpu, Measure.BUSY), 2) == [8, 8]
    assert of.of_fleet(gpu, Measure.PRICE).last == pytest.approx(98.32)
    assert ends(of.of_fleet(gpu, Measure.TOTAL), 3) == [None, 8, 8]


def test_a_fleet_without_gpus_counts_its_blocks():
    looks = Looks()
    cpus = fleet("cpu", gpus_total=0, gpus_busy=0, blocks_busy=2, blocks_total=3)
    for step in range(2):
        looks.show(snapshot([cpus], services=[]), step)
    assert looks.watch.of_fleet(cpus, Measure.BUSY).last == 2
    assert looks.watch.of_fleet(cpus, Measure.TOTAL).last == 3


def test_a_service_that_is_deployed_anew_goes_on_and_a_renamed_one_begins():
    looks = Looks()
    first = service()
    looks.show(snapshot(services=[first]), 0)
    ended = replace(first, status="terminated", ready=0)
    again = service(id="s-new", submitted_at=NOW, ready=1)
    looks.show(snapshot(services=[ended, again]), 1)
    renamed = service("talk")
    looks.show(snapshot(services=[ended, again, renamed]), 2)
    looks.show(snapshot(services=[ended, again, renamed]), 3)
    of = looks.watch
    assert ends(of.of_service(again, Measure.READY), 3) == [1, 1, 1]
    assert of.of_service(ended, Measure.READY).known == []
    assert ends(of.of_service(renamed, Measure.READY), 3) == [None, None, 1]


def test_what_is_read_in_part_is_not_noted():
    looks = Looks()
    looks.show(replace(snapshot(services=[]), complete=False), 0)
    assert looks.watch.step is None


def test_3000_replicas_take_less_than_4_megabytes():
    trends = Trends()
    for step in range(3):
        trends.reach(later(step))
        for number in range(3_000):
            subject = replica_of(ReplicaKey("s-chat", number, 0))
            trends.note(subject, Measure.LOAD, 1)
            trends.note(subject, Measure.GPU, 1)
    assert len(trends) == 6_000
    assert sum(map(sys.getsizeof, trends._series.values())) < 4_000_000


def test_so_many_series_are_kept_and_what_is_gone_makes_room(monkeypatch):
    monkeypatch.setattr("dstack_api_client.trends.trend._MOST", 10)
    trends = Trends()
    for hour in range(2):
        trends.reach(later(hour * 120))
        for number in range(20):
            trends.note(replica_of(ReplicaKey(f"run-{hour}", number, 0)), Measure.LOAD, hour)
        trends.reach(later(hour * 120 + 1))
        assert len(trends) == 10
    newest = replica_of(ReplicaKey("run-1", 0, 0))
    assert trends.trend(newest, Measure.LOAD).last == 1


def router(*loads):
    workers = tuple(
        Worker(f"w{number}", Sync.IN_SYNC, load=load, replica=ReplicaKey("s-chat", number, 0))
        for number, load in enumerate(loads)
    )
    return RouterView("s-chat", "smg", RouterStatus.READY, Source.SERVER, workers=workers)


def test_workers_have_the_load_that_the_router_tells():
    looks = Looks()
    for step, loads in enumerate([(3, None), (8, 1), (2, 1)]):
        looks.show(replace(snapshot(), routers={"s-chat": router(*loads)}), step)
    of = looks.watch
    assert ends(of.of_replica(ReplicaKey("s-chat", 0, 0), Measure.LOAD), 3) == [None, 3, 8]
    assert ends(of.of_replica(ReplicaKey("s-chat", 1, 0), Measure.LOAD), 2) == [None, 1]


def test_metrics_fill_the_gpu_of_a_replica():
    looks = Looks()
    looks.show(snapshot(), 0)
    times = tuple(later(-2 + tenth / 3) for tenth in range(6))
    gpu = Series((10.0, 20.0, 30.0, None, 50.0, None), 100.0)
    key = ReplicaKey("s-chat", 0, 0)
    looks.watch.take({key: Use(times[-1], times[0], gpu=gpu, times=times)})
    looks.watch.take({ReplicaKey("s-chat", 1, 0): None})
    assert ends(looks.watch.of_replica(key, Measure.GPU), 3) == [None, 20, 50]


# The time before the first snapshot


def job(number, message, minutes, num=0, service="chat"):
    about = [f"job:{service}-0-{num}"]
    return event(number, f"Job status changed {message}", about=about, seconds=minutes * 60)


def takes(number, minutes, num=0):
    message = "Service replica ready to receive requests"
    return event(number, message, about=[f"job:chat-0-{num}"], seconds=minutes * 60)


def filled(shot, *events):
    """What is known of the 30 minutes before the first snapshot, by a service and a fleet."""
    looks = Looks(events)
    shot = looks.show(shot, 0)
    return looks.watch, next(iter(shot.services.values())), next(iter(shot.fleets.values()))


def chat_with(*replicas, **changes):
    keys = tuple(each.key for each in replicas)
    values = {"submitted_at": START - timedelta(days=1), "replica_keys": keys, **changes}
    return snapshot(services=[service(**values)], replicas=replicas)


def at_minutes(trend, *minutes):
    """The values at minutes after the start."""
    return [trend.values[int(minute * 60 / STEP)] for minute in minutes]


def test_events_tell_when_replicas_took_requests():
    long_since = START - timedelta(days=1)
    shot = chat_with(
        replica("chat", 0, submission_id="j-chat-0-0", submitted_at=long_since),
        replica("chat", 1, submission_id="j-chat-0-1", submitted_at=long_since),
        replicas_min=2,
        replicas_max=2,
    )
    watch, chat, _ = filled(
        shot,
        event(1, "Run status changed", about=["run:other"], seconds=0),
        job(2, "RUNNING -> TERMINATING", 10, num=7),
        job(3, "SUBMITTED -> PROVISIONING", 12, num=1),
        job(4, "PULLING -> RUNNING", 14, num=1),
        takes(5, 15, num=1),
    )
    ready = watch.of_service(chat, Measure.READY)
    assert at_minutes(ready, 0, 9, 11, 14.5, 15.5, 29) == [2, 2, 1, 1, 2, 2]
    price = watch.of_service(chat, Measure.PRICE)
    # What the one that is gone cost, nobody tells.
    assert at_minutes(price, 9, 11, 13) == [None, pytest.approx(98.32), pytest.approx(196.64)]


def test_a_desired_number_is_known_since_it_was_last_changed():
    began = event(1, "Run status changed", about=["run:other"], seconds=0)
    message = "Run updated. Deployment: 4. Changed fields: replicas"
    applied = event(2, message, about=["run:chat"], seconds=600)
    shot = chat_with(replica("chat"))
    shot = replace(shot, services={"r-chat": replace(shot.services["s-chat"], id="r-chat")})
    watch, chat, _ = filled(shot, began, applied)
    assert at_minutes(watch.of_service(chat, Measure.DESIRED), 9, 11, 29) == [None, 1, 1]


def test_of_what_scales_by_itself_the_desired_number_is_not_known():
    began = event(1, "Run status changed", about=["run:other"], seconds=0)
    watch, chat, _ = filled(chat_with(replica("chat"), autoscaled=True), began)
    assert watch.of_service(chat, Measure.DESIRED).known == []


def test_nothing_is_known_from_before_the_first_event():
    watch, chat, _ = filled(
        chat_with(replica("chat")), event(1, "x", about=["run:other"], seconds=1200)
    )
    assert at_minutes(watch.of_service(chat, Measure.READY), 19, 21) == [None, 1]


def test_events_tell_when_instances_were_busy():
    old = START - timedelta(days=1)
    first = instance("gpu-0", num=0, created_at=old)
    second = instance("gpu-1", num=1, created_at=START + timedelta(minutes=5))
    gpu = fleet(instance_ids=("i-gpu-0", "i-gpu-1"), gpus_busy=16, gpus_total=16, created_at=old)
    watch, _, shown = filled(
        snapshot([gpu], [first, second]),
        event(1, "Run status changed", about=["run:other"], seconds=0),
        event(
            2,
            "Instance status changed BUSY -> TERMINATING",
            about=["instance:gpu-7"],
            seconds=120,
        ),
        event(
            3, "Instance status changed PROVISIONING -> BUSY", about=["instance:gpu-1"], seconds=600
        ),
    )
    assert at_minutes(watch.of_fleet(shown, Measure.BUSY), 1, 3, 9, 11) == [None, 8, 8, 16]
    assert at_minutes(watch.of_fleet(shown, Measure.TOTAL), 1, 3, 9, 11) == [None, 8, 16, 16]


def test_of_an_instance_in_parts_events_do_not_tell_how_many_were_busy():
    old = START - timedelta(days=1)
    parts = instance("gpu-0", total_blocks=4, busy_blocks=2, created_at=old)
    watch, _, gpu = filled(
        snapshot([fleet(created_at=old)], [parts]), event(1, "x", about=["run:other"], seconds=0)
    )
    assert watch.of_fleet(gpu, Measure.BUSY).known == []
    assert len(watch.of_fleet(gpu, Measure.PRICE).known) == STEPS


def test_steps_are_of_the_clock_of_the_server():
    assert NOW.timestamp() % STEP == 0
    assert START.tzinfo is timezone.utc


@pytest.mark.parametrize("seed", seeds(100))
def test_what_is_added_up_once_is_what_each_moment_adds_up_to(seed):
    rng = random.Random(seed)
    past = Past([event(0, seconds=0)], step_of(NOW), snapshot())
    spans = [
        _Span(
            later(begin := rng.uniform(-1.3 * STEPS, 0.1)),
            rng.choice((None, later(begin + rng.uniform(-0.1, STEPS)))),
            rng.choice((0.1, 1.0, 98.32)),
        )
        for _ in range(rng.randrange(9))
    ]
    begin = later(rng.uniform(-STEPS, 0))
    found = past._counted(spans, begin)
    assert [at for at, _ in found] == [at for at in past._moments if at >= begin]
    for at, value in found:
        here = [each for each in spans if each.begin <= at and not (each.end and each.end <= at)]
        assert value == pytest.approx(sum(each.amount for each in here))
