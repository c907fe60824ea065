from __future__ import annotations

from datetime import timedelta

from dstack_api_client import errors
from dstack_api_client.replica.metrics import use_of
from dstack_api_client.replica.watch import ReplicaWatch
from tests.builders.memory_client import START, GivenClient, metrics, run, submission
from tests.builders.snapshots import replica


class Watched:
    def __init__(self, **values):
        self.seconds = 0.0
        self.client = GivenClient()
        self.replica = replica(**{"submission_id": "j-chat-0-1", "submission_num": 1, **values})
        self.watch = ReplicaWatch(self.client, "main", self.replica.key, now=self.now)
        self.watch.follow(self.replica)
        self.client.known_runs["s-chat"] = run(
            submission(0, exit_status=1), submission(1, "running")
        )

    def now(self):
        return START + timedelta(seconds=self.seconds)

    async def poll(self, **values):
        return [state async for state in self.watch.poll(**values)][-1]


async def test_the_history_is_read_once_and_again_when_the_replica_changes():
    watched = Watched()
    state = await watched.poll()
    assert [(each.num, each.status) for each in state.history.submissions] == [
        (1, "running"),
        (0, "failed"),
    ]
    assert state.history.submissions[1].exit_status == 1
    await watched.poll()
    assert watched.client.asked["run"] == 1
    watched.watch.follow(replica(submission_id="j-chat-0-2", submission_num=2))
    await watched.poll()
    assert watched.client.asked["run"] == 2


async def test_only_the_replica_s_own_submissions_are_its_history():
    watched = Watched()
    other = run(submission(0)).jobs[0]
    other.job_spec.replica_num = 1
    watched.client.known_runs["s-chat"].jobs.append(other)
    assert len((await watched.poll()).history.submissions) == 2


async def test_metrics_are_read_every_ten_seconds():
    watched = Watched()
    watched.client.measured = metrics(cpu_usage_percent=[50, 150])
    state = await watched.poll()
    assert state.metrics.use.cpu.values == (0.5, 1.5)
    for watched.seconds in (2, 9, 10, 12):
        await watched.poll()
    assert watched.client.asked["job_metrics"] == 2


async def test_metrics_are_read_on_though_the_clock_was_set_back():
    watched = Watched()
    watched.client.measured = metrics(cpu_usage_percent=[50, 150])
    for watched.seconds in (0, -1500, -1498):
        await watched.poll()
    assert watched.client.asked["job_metrics"] == 2


async def test_the_metrics_of_a_replica_that_ended_are_read_once():
    watched = Watched(status="failed")
    watched.client.measured = metrics(cpu_usage_percent=[50, 150])
    for watched.seconds in (0, 60, 120):
        await watched.poll()
    assert watched.client.asked["job_metrics"] == 1


async def test_the_output_follows_the_latest_submission_unless_another_is_chosen():
    watched = Watched()
    watched.client.write("one")
    state = await watched.poll()
    assert [line.text for line in state.output.lines] == ["one"]
    watched.watch.show_output_of("j-chat-0-0")
    assert (await watched.poll()).output.submission_id == "j-chat-0-0"
    watched.watch.show_output_of(None)
    assert (await watched.poll()).output.submission_id == "j-chat-0-1"
    watched.watch.show_output_of("j-chat-0-0")
    watched.watch.follow(replica(submission_id="j-chat-0-2", submission_num=2))
    assert (await watched.poll()).output.submission_id == "j-chat-0-2"


async def test_a_failure_is_a_state_and_what_is_known_stays():
    watched = Watched()
    watched.client.write("one")
    watched.client.measured = metrics(cpu_usage_percent=[50, 150])
    await watched.poll()
    watched.client.failure = errors.CannotConnectError("It is away.", "Wait.")
    watched.seconds = 20
    state = await watched.poll(full=True)
    for part in (state.history, state.metrics, state.output):
        assert str(part.failure) == "It is away. Wait."
        assert part.failure.since == watched.now()
        assert part.read_at == START
    assert state.output.lines
    assert state.metrics.use is not None
    assert state.history.submissions
    watched.client.failure = None
    state = await watched.poll()
    parts = (state.history, state.metrics, state.output)
    assert [part.failure for part in parts] == [None] * 3


async def test_nothing_is_read_of_a_replica_that_is_not_known():
    client = GivenClient()
    watch = ReplicaWatch(client, "main", replica().key)
    assert [state async for state in watch.poll()] == []
    assert not client.asked


def test_use_adds_gpus_up_and_scales():
    use = use_of(
        metrics(
            cpu_usage_percent=[100, 350],
            cpus_detected_num=[8, 8],
            memory_working_set_bytes=[10, 20],
            memory_total_bytes=[100, 100],
            gpu_memory_total_bytes=[80, 80],
            gpu_util_percent_gpu0=[10, 100],
            gpu_util_percent_gpu1=[30, 50],
            gpu_memory_usage_bytes_gpu0=[1, 40],
            gpu_memory_usage_bytes_gpu1=[2, 41],
        )
    )
    assert use.cpu.values == (1.0, 3.5)
    assert use.cpu.top == 8
    assert (use.memory.last, use.memory.top) == (20, 100)
    assert (use.gpu.values, use.gpu.top) == ((20.0, 75.0), 100)
    assert (use.gpu_memory.values, use.gpu_memory.top) == ((3, 81), 160)
    assert [each.last for each in use.gpus] == [100, 50]
    assert (use.since, use.at) == (START - timedelta(seconds=10), START)


def test_no_metrics_yet_is_no_use():
    assert use_of(metrics()) is None


def test_metrics_without_gpus_or_totals():
    use = use_of(metrics(cpu_usage_percent=[100], gpus_detected_num=[0]))
    assert use.gpu is None
    assert use.gpus == ()
    assert use.memory is None
    assert use.cpu.top is None
