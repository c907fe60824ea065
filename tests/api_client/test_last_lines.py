"""What one replica wrote last."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dstack_api_client.model.replica import ReplicaKey
from dstack_api_client.problems.model import Kind, Problem, Severity
from dstack_api_client.replica.last_lines import LastLinesWatch
from dstack_api_client.replica.service_logs import Writer
from tests.builders.memory_client import START, GivenClient

ONE, TWO = (Writer(f"decode {number}", "chat", f"j-{number}") for number in (1, 2))


class Watched:
    """A watch on a server that has the logs of two replicas."""

    def __init__(self) -> None:
        self.client, self.now = GivenClient(), START
        self.client.write(*(f"line {number}" for number in range(9)), by="j-1")
        self.watch = LastLinesWatch(self.client, "main", now=lambda: self.now)

    async def read(self) -> list[list[str]]:
        return [[line.text for line in read.lines] async for read in self.watch.poll()]


async def test_the_last_lines_of_one_are_read_now_and_then() -> None:
    watched = Watched()
    assert await watched.read() == []
    assert watched.watch.follow(ONE)
    assert await watched.read() == [[f"line {number}" for number in range(4, 9)]]
    assert not watched.watch.follow(ONE)
    assert await watched.read() == []
    watched.now += timedelta(seconds=15)
    assert len(await watched.read()) == 1
    assert watched.watch.follow(TWO)
    assert await watched.read() == [[]]
    assert not watched.watch.follow(None)
    assert await watched.read() == []


@pytest.mark.parametrize(
    ("row", "replica"),
    [
        ("8.0", ReplicaKey("chat", 8, 0)),
        ("2.1+w-7", ReplicaKey("chat", 2, 1)),
        ("/gpu-spot", None),
        ("missing:w-7", None),
        (None, None),
    ],
)
def test_a_problem_names_its_replica(row: str | None, replica: ReplicaKey | None) -> None:
    found = Problem("k", Kind.WORKER, Severity.WARNING, "chat", "", service_id="chat", row=row)
    assert found.replica == replica
