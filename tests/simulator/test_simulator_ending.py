"""However a simulator ends, nothing of it is left: no process, no folder, no listening port."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from dstack_simulator import Simulator
from dstack_simulator.errors import SimulatorError
from dstack_simulator.folder import MARK_VARIABLE
from dstack_simulator.processes import end_marked, marked
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

#: Starts a simulator, tells its mark and its folder, and then does as it is told.
_PARENT = """
import sys
from pathlib import Path
from dstack_simulator import Simulator
from dstack_simulator.errors import SimulatorError

simulator = Simulator(sys.argv[1]).start()
print(simulator.mark, simulator.folder.root, flush=True)
sys.stdin.readline()
{then}
"""

_ONE_INSTANCE = """\
description: One instance in a fleet, so that the server holds a tunnel to it
cloud:
  start_seconds: 0
  offers: [{instance_type: c, cpus: 8, memory_gib: 64, regions: {east: {on_demand: 1}}}]
steps:
  - apply: {type: fleet, name: one, nodes: 1}
"""


class _Parent:
    def __init__(self, scenario: str, then: str = "") -> None:
        environment = {name: value for name, value in os.environ.items() if name != MARK_VARIABLE}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PARENT.format(then=then), scenario],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        )
        self.mark = ""
        self.folder = Path()

    def greet(self) -> None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read() if self.process.stderr else ""
        self.mark, folder = line.split()
        self.folder = Path(folder)

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()


@pytest.fixture
def parents() -> Iterator[list[_Parent]]:
    started: list[_Parent] = []
    yield started
    for parent in started:
        parent.process.kill()
        parent.process.communicate()
        if parent.mark:
            end_marked(parent.mark)
            shutil.rmtree(parent.folder, ignore_errors=True)


def _programs(mark: str) -> set[str]:
    return {process.name() for process in marked(mark)}


async def test_a_killed_parent_leaves_nothing(parents: list[_Parent], tmp_path: Path) -> None:
    scenario = tmp_path / "one.yml"
    scenario.write_text(_ONE_INSTANCE)
    parent = _Parent(str(scenario))
    parents.append(parent)
    parent.greet()
    # The server's tunnel to the host is a daemon of its own by now.
    await until(lambda: "ssh" in _programs(parent.mark), limit=30, what="a tunnel")
    parent.process.send_signal(signal.SIGKILL)
    await until(lambda: not marked(parent.mark), limit=20, what="every process is gone")
    await until(lambda: not parent.folder.exists(), limit=10, what="the folder is gone")


async def test_a_killed_world_takes_the_server_along(parents: list[_Parent]) -> None:
    parent = _Parent("empty")
    parents.append(parent)
    parent.greet()
    world = next(p for p in marked(parent.mark) if "dstack_simulator.world" in p.cmdline())
    world.kill()
    await until(lambda: not marked(parent.mark), limit=20, what="every process is gone")


async def test_a_parent_that_fails_leaves_nothing(parents: list[_Parent]) -> None:
    parent = _Parent("empty", "raise ValueError")
    parents.append(parent)
    parent.greet()
    parent.go_on()
    parent.process.wait(30)
    assert not marked(parent.mark)
    assert not parent.folder.exists()


def test_a_kept_folder_stays_and_a_named_module_comes_first(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    # A module that says something when it is imported.
    with Simulator("empty", folder=folder, launcher=["this"]) as simulator:
        assert simulator.folder.root == folder
        # Sockets lie in the temporary folder, whatever the length of the one that was asked for.
        temporary = simulator.folder.temporary
        assert len(str(temporary)) < 30
    assert (folder / "server" / "data" / "sqlite.db").exists()
    log = (folder / "server.log").read_text()
    assert "The Zen of Python" in log[: log.index("dstack")]
    assert not temporary.exists()


def test_what_does_not_carry_the_mark_is_spared() -> None:
    with subprocess.Popen(["sleep", "60"]) as bystander:
        try:
            assert end_marked("a mark that nothing carries") == []
            assert psutil.pid_exists(bystander.pid)
        finally:
            bystander.kill()


def test_the_log_of_a_server_that_does_not_answer_in_time_stays() -> None:
    simulator = Simulator("empty", start_limit=0.2)
    with pytest.raises(SimulatorError) as refused:
        simulator.start()
    said = str(refused.value)
    assert said.startswith("dstack's server did not answer within 0.2 s: ")
    assert simulator.processes() == []
    log = Path(said.rpartition("Its log is ")[2].removesuffix("."))
    assert log.stat().st_mode & 0o777 == 0o600
    assert list(log.parent.glob(f"{log.name.removesuffix('-server.log')}*")) == [log]
    log.unlink()
