"""Reading what a server keeps of the last 30 minutes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dstack_api_client import errors
from dstack_api_client.model.replica import ReplicaKey
from dstack_api_client.trends.reads import MOST_JOBS, PAST_VALUES, PastReads
from tests.builders.memory_client import START, GivenClient, event, metrics
from tests.builders.snapshots import replica


class Given:
    """A past to read, with a clock."""

    def __init__(self, *replicas):
        self.client = GivenClient()
        self.at = START + timedelta(hours=1)
        self.asked = []
        self.replicas = list(replicas)
        self.reads = PastReads(
            self.client,
            "main",
            {"within_runs": ["s-chat"]},
            lambda: self.replicas,
            now=lambda: self.at,
            server_now=lambda: self.at,
        )

        async def job(project, run_name, **which):
            self.asked.append((which["replica_num"], which["limit"]))
            return metrics(gpu_util_percent_gpu0=[10.0, 20.0])

        self.client.metrics.job = job

    async def poll(self, **how):
        return [each async for each in self.reads.poll(**how)]


async def test_events_are_read_once_and_no_further_than_half_an_hour():
    given = Given()
    given.client.recorded = [event(number, seconds=number * 10) for number in range(361)]
    (read,) = await given.poll()
    oldest = min(each.recorded_at for each in read.events)
    assert given.at - timedelta(minutes=60) < oldest <= given.at - timedelta(minutes=30)
    assert await given.poll() == []
    assert (
        given.client.filters == [{"within_runs": ["s-chat"]}] * given.client.asked["newest_events"]
    )
    assert (await given.poll(full=True))[0].events


async def test_a_flood_of_events_costs_four_requests():
    given = Given()
    given.client.recorded = [event(number, seconds=3_600) for number in range(2_000)]
    await given.poll()
    assert given.client.asked["newest_events"] == 4


async def test_metrics_are_read_a_few_at_a_time_and_their_past_once():
    given = Given(*(replica("chat", number) for number in range(30)))
    for _ in range(8):
        await given.poll()
    assert given.asked == [(number, PAST_VALUES) for number in range(MOST_JOBS)]
    given.at += timedelta(seconds=61)
    (read,) = await given.poll()
    assert [limit < PAST_VALUES for _, limit in given.asked[MOST_JOBS:]] == [True] * 4
    assert read.measured == MOST_JOBS
    assert read.uses[ReplicaKey("s-chat", 0, 0)].gpu.values == (10.0, 20.0)


async def test_what_does_not_run_or_has_no_gpu_is_not_asked_for():
    given = Given(replica("chat", 0, gpus=None), replica("chat", 1, status="provisioning"))
    await given.poll()
    assert given.asked == []


async def test_a_server_without_events_is_no_failure():
    given = Given()
    given.client.failure = errors.NotFoundError("There is no such address.", "")
    assert (await given.poll())[0].failure is None
    assert await given.poll() == []


@pytest.mark.parametrize("failing", ["events", "metrics"])
async def test_a_failure_is_told_and_tried_again(failing):
    given = Given(replica("chat", 0))
    failure = errors.CannotConnectError("It is away.", "Wait.")

    async def fails(*args, **how):
        raise failure

    working = (given.client.events.newest, given.client.metrics.job)
    if failing == "events":
        given.client.events.newest = fails
    else:
        given.client.metrics.job = fails
    assert str((await given.poll())[-1].failure) == "It is away. Wait."
    given.client.events.newest, given.client.metrics.job = working
    assert (await given.poll())[-1].failure is None
