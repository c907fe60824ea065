"""Processes forked from one that has everything loaded: asked for by lines, one after the other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

_PROGRAM = """
import sys, time
from dstack_simulator.launch.forks import next_fork
arguments = next_fork(lambda: print("over", flush=True))
print(arguments, file=sys.stderr, flush=True)
time.sleep(60)
"""


def test_each_line_is_a_process_that_can_be_killed() -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM], stdin=pipe, stdout=pipe, stderr=pipe
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        assert program.stderr is not None
        seen = []
        for port in (1, 2):
            program.stdin.write(b"server --port %d\n" % port)
            program.stdin.flush()
            seen.append(int(program.stdout.readline()))
            assert program.stderr.readline() == b"['server', '--port', '%d']\n" % port
            os.kill(seen[-1], signal.SIGKILL)
            assert program.stdout.readline() == b"\n"
        assert len({program.pid, *seen}) == 3
        program.stdin.close()
        assert program.stdout.readline() == b"over\n"
    assert program.returncode == 0
