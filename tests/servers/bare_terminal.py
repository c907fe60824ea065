"""A program on a pseudo-terminal."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from dstack_simulator.handle.handle import Handle


class Terminal:
    """A program on a pseudo-terminal, and what it has written so far.

    Args:
        arguments: Of the program.
        within: What the program is started by, such as tmux.
        python: The interpreter in whose environment it is installed.
        ignore_hangup: Whether it is started with SIGHUP ignored.
        module: What is run of it.
        environment: What its environment has beside that of the tests.
    """

    def __init__(
        self,
        *arguments: str,
        within: Sequence[str] = (),
        python: str = sys.executable,
        ignore_hangup: bool = False,
        module: str = "dstack_fleets_tui",
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
                [*within, python, "-m", module, *arguments],
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
        self._reader: asyncio.AbstractEventLoop | None = None

    def read(self) -> bool:
        """Takes what the program has written; says whether more may come."""
        try:
            while chunk := os.read(self.master, 65536):
                self.written += chunk
        except BlockingIOError:
            return True
        except OSError:  # nobody has the other side any more
            pass
        return False

    def read_always(self) -> None:
        """Lets the loop read what the program writes, as soon as it is there."""
        loop = asyncio.get_running_loop()

        def read() -> None:
            if not self.read():
                loop.remove_reader(self.master)

        loop.add_reader(self.master, read)
        self._reader = loop

    def shows(self, text: str) -> bool:
        """Whether the program has written a text."""
        self.read()
        return text.encode() in self.written

    def forget(self) -> None:
        """Takes what the program has written so far for nothing."""
        self.read()
        self.written = b""

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
        if self._reader is not None:
            self._reader.remove_reader(self.master)
        os.close(self.master)
        self.master = -1

    def end(self) -> None:
        if self.master >= 0:
            self.hang_up()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@asynccontextmanager
async def terminal(
    *arguments: str,
    python: str = sys.executable,
    ignore_hangup: bool = False,
    unread: bool = False,
    module: str = "dstack_fleets_tui",
    **environment: str,
) -> AsyncIterator[Terminal]:
    """Starts the dashboard; ends it at the end.

    Args:
        arguments: As of `Terminal`, as are `python`, `ignore_hangup` and `environment`.
        python: The interpreter in whose environment it is installed.
        ignore_hangup: Whether it is started with SIGHUP ignored.
        unread: Whether nobody reads what it writes but who looks at it. A program whose terminal
            is full waits, and takes no keys; a terminal that people use reads at once.
        module: What is run of it.
        environment: What its environment has beside that of the tests.
    """
    program = Terminal(
        *arguments, python=python, ignore_hangup=ignore_hangup, module=module, **environment
    )
    if not unread:
        program.read_always()
    try:
        yield program
    finally:
        program.end()


def connecting(sim: Handle) -> dict[str, str]:
    home = str(sim.folder.home)
    return {**sim.environment, "HOME": home, "XDG_CONFIG_HOME": home}
