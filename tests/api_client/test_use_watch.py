"""What replicas on screen make use of: a few at a time, in turn."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

from dstack_api_client import errors
from dstack_api_client.model.replica import ReplicaKey
from dstack_api_client.replica.metrics_watch import UseWatch
from dstack_api_client.transport import wire
from tests.builders import snapshots
from tests.builders.memory_client import START


class Metrics:
    """Answers with metrics, and knows who was asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.limits: list[int] = []
        self.fails = False
        self.metrics = SimpleNamespace(job=self._of_job)

    async def _of_job(self, project, run_name, *, replica_num, limit, **_):
        self.asked.append(replica_num)
        self.limits.append(limit)
        if self.fails:
            raise errors.CannotConnectError("It is away.", "Wait.")
        times = [START, START - timedelta(seconds=10)]
        return wire.JobMetrics(
            metrics=[wire.Metric("gpu_util_percent_gpu0", times, [replica_num, 1])]
        )


async def polled(watch, **how):
    return [read async for read in watch.poll(**how)]


def watching(replicas, **how):
    client, moment = Metrics(), [START]
    watch = UseWatch(client, "main", lambda: replicas, now=lambda: moment[0], **how)
    return client, moment, watch


async def test_a_few_at_each_poll_and_each_in_its_turn():
    client, moment, watch = watching([snapshots.replica("chat", num) for num in range(6)])
    (read,) = await polled(watch)
    assert client.asked == [0, 1, 2, 3]
    assert read[ReplicaKey("s-chat", 3, 0)].gpu.last == 3.0
    await polled(watch)
    assert client.asked == [0, 1, 2, 3, 4, 5]
    assert await polled(watch) == []
    moment[0] += timedelta(seconds=11)
    await polled(watch)
    assert client.asked[6:] == [0, 1, 2, 3]


async def test_the_past_of_each_is_read_once_where_it_is_wanted():
    client, moment, watch = watching([snapshots.replica("chat", 0)], past=lambda: 180)
    for _ in range(2):
        await polled(watch)
        moment[0] += timedelta(seconds=11)
    assert client.limits == [180, 2]


async def test_only_what_runs_and_is_on_screen_is_asked_for():
    replicas = [snapshots.replica("chat", 0, status="submitted"), snapshots.replica("chat", 1)]
    client, moment, watch = watching(replicas)
    await polled(watch)
    replicas.clear()
    moment[0] += timedelta(minutes=1)
    assert await polled(watch, full=True) == []
    assert client.asked == [1]


async def test_a_failure_is_told_and_the_rest_of_the_round_is_left():
    client, _, watch = watching([snapshots.replica("chat", num) for num in range(3)])
    client.fails = True
    assert await polled(watch) == [{}]
    assert client.asked == [0]
    assert str(watch.failure) == "It is away. Wait."
    client.fails = False
    await polled(watch)
    assert watch.failure is None


async def test_a_clock_that_was_set_back_keeps_nobody_waiting():
    client, moment, watch = watching([snapshots.replica("chat")])
    await polled(watch)
    assert await polled(watch) == []
    moment[0] -= timedelta(minutes=25)
    await polled(watch)
    assert client.asked == [0, 0]
    assert await polled(watch) == []
