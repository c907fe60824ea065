"""The dashboard as a program in a terminal of its own."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dstack_simulator.handle import Handle
from tests.waiting import until

pytestmark = pytest.mark.e2e


class Terminal:
    """A program on a pseudo-terminal, and what it has written so far.

    Args:
        arguments: Of the program.
        within: What the program is started by, such as tmux.
        ignore_hangup: Whether it is started with SIGHUP ignored.
        environment: What its environment has beside that of the tests.
    """

    def __init__(
        self,
        *arguments: str,
        within: Sequence[str] = (),
        ignore_hangup: bool = False,
        **environment: str,
    ) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        os.set_blocking(self.master, False)
        before = signal.getsignal(signal.SIGHUP)
        if ignore_hangup:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a child inherits what is ignored
        try:
            self.process = subprocess.Popen(
                [*within, sys.executable, "-m", "dstack_fleets_tui", *arguments],
                stdin=slave,
                stdout=slave,
                stderr=slave,
                start_new_session=True,
                # Only a controlling terminal sends SIGHUP when it goes.
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
                env={**os.environ, "TERM": "xterm-256color", **environment},
            )
        finally:
            signal.signal(signal.SIGHUP, before)
            os.close(slave)
        self.written = b""
        self._unread = 0

    def shows(self, text: str) -> bool:
        """Whether the program has written a text."""
        try:
            while chunk := os.read(self.master, 65536):
                self.written += chunk
        except (BlockingIOError, OSError):
            pass
        return text.encode() in self.written

    def is_stopped(self) -> bool:
        """Whether a signal stopped the process."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    def is_full(self) -> bool:
        """Whether the terminal holds what nobody reads, and takes no more since the last look."""
        (unread,) = struct.unpack("i", fcntl.ioctl(self.master, termios.FIONREAD, bytes(4)))
        before, self._unread = self._unread, unread
        return 0 < unread == before

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def hang_up(self) -> None:
        os.close(self.master)
        self.master = -1

    def end(self) -> None:
        if self.master >= 0:
            self.hang_up()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@asynccontextmanager
async def terminal(*arguments: str, ignore_hangup: bool = False, **environment: str):
    program = Terminal(*arguments, ignore_hangup=ignore_hangup, **environment)
    try:
        yield program
    finally:
        program.end()


def connecting(sim: Handle) -> dict[str, str]:
    home = str(sim.folder.home)
    return {**sim.environment, "HOME": home, "XDG_CONFIG_HOME": home}


async def test_it_draws_answers_keys_and_leaves_with_zero(demo_sim: Handle):
    async with terminal(**connecting(demo_sim)) as program:
        await until(lambda: program.shows("rerank"), limit=30, what="the problems")
        program.press("1")
        await until(lambda: program.shows("gpu-reserved"), what="the fleets")
        program.press("2")
        await until(lambda: program.shows("summarize"), what="the services")
        program.press("q")
        await until(lambda: program.process.poll() is not None, limit=15, what="the end")
        assert program.process.returncode == 0


@pytest.mark.parametrize("ignore_hangup", [False, True], ids=["SIGHUP", "SIGHUP ignored"])
async def test_it_ends_when_its_terminal_goes_away(demo_sim: Handle, ignore_hangup: bool):
    async with terminal(ignore_hangup=ignore_hangup, **connecting(demo_sim)) as program:
        await until(lambda: program.shows("rerank"), limit=30, what="the problems")
        program.hang_up()
        await until(lambda: program.process.poll() is not None, limit=20, what="the end")


@pytest.mark.parametrize("stop", [signal.SIGSTOP, signal.SIGTSTP], ids=["SIGSTOP", "SIGTSTP"])
async def test_it_goes_on_after_a_stop(demo_sim: Handle, stop: signal.Signals):
    """As after Ctrl+Z and `fg`, and after a stop from another shell."""
    async with terminal(**connecting(demo_sim)) as program:
        await until(lambda: program.shows("rerank"), limit=30, what="the problems")
        program.process.send_signal(stop)
        await until(program.is_stopped, what="the stop")
        program.written = b""
        program.process.send_signal(signal.SIGCONT)
        await until(lambda: program.shows("rerank"), what="the problems again")
        program.press("1")
        await until(lambda: program.shows("gpu-reserved"), what="the fleets")
        program.press("q")
        await until(lambda: program.process.poll() is not None, limit=15, what="the end")
        assert program.process.returncode == 0


async def test_a_signal_ends_it_though_its_terminal_takes_no_text(demo_sim: Handle):
    """As where the connection of an SSH session stalls."""
    async with terminal(**connecting(demo_sim)) as program:
        await until(lambda: program.shows("rerank"), limit=30, what="the problems")
        program.press("12" * 50)  # more screens than may wait for the terminal
        await until(program.is_full, what="a full terminal", every=0.5)
        program.process.send_signal(signal.SIGTERM)
        await until(lambda: program.process.poll() is not None, limit=20, what="the end")
        assert program.process.returncode == 128 + signal.SIGTERM


async def test_ascii_writes_ascii_only(demo_sim: Handle):
    async with terminal("--ascii", **connecting(demo_sim)) as program:
        await until(lambda: program.shows("rerank"), limit=30, what="the problems")
        assert program.written.isascii()
