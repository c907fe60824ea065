"""The server's process: started, waited for, restarted."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import aiohttp

from dstack_simulator.errors import SimulatorError
from dstack_simulator.folder import last_line
from dstack_simulator.scenarios.scenario import Pace

_LOOK_EVERY = 0.1
_STARTS = 3
#: Seconds that a server has to end when it is asked to.
GRACE = 30.0
_TAKEN = b"address already in use"


class ServerProcess:
    """dstack's server as a child process.

    Attributes:
        port: The server's own port, behind the front.
    """

    def __init__(
        self,
        *,
        folder: Path,
        log: Path,
        environment: Mapping[str, str],
        before: Sequence[str],
        pace: Pace,
        limit: float,
        kept: bool,
    ) -> None:
        """Prepares; starts nothing.

        Args:
            folder: The server's own folder.
            log: Where its output goes.
            environment: All of its environment.
            before: Modules to import before anything of dstack.
            pace: How often it looks at what it works on.
            limit: Seconds within which it must answer.
            kept: Whether the log outlives the simulator.
        """
        self.port = 0
        self._folder = folder
        self._log = log
        self._environment = environment
        self._before = before
        self._pace = pace
        self._limit = limit
        self._kept = kept
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Starts the server and waits until it answers.

        Raises:
            SimulatorError: It ended or did not answer in time.
        """
        for attempt in range(1, _STARTS + 1):
            written = self._log.stat().st_size if self._log.exists() else 0
            await self._spawn()
            if await self._answers():
                return
            how = f"did not answer within {self._limit:g} s" if self.running else "did not start"
            await self.kill()
            # Between looking for a free port and taking it, another program may have been faster.
            if attempt < _STARTS and await asyncio.to_thread(self._port_was_taken, written):
                continue
            raise SimulatorError(
                f"dstack's server {how}: {last_line(self._log, written)}"
                f" Its log is {await asyncio.to_thread(self._log_to_read)}."
            )

    async def end(self, *, graceful: bool) -> None:
        """Ends the server.

        Args:
            graceful: Asks it to end, which takes it some seconds, instead of killing it.
        """
        if self._process is None:
            return
        if graceful and self._process.returncode is None:
            self._process.terminate()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._process.wait(), GRACE)
        await self.kill()

    async def close(self) -> None:
        """Kills the server, and whatever it is started from."""
        await self.kill()

    async def kill(self) -> None:
        """Kills the server, if it runs."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
            await process.wait()
        if process.stdin is not None:
            process.stdin.close()

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.returncode is None

    async def _spawn(self) -> None:
        self.port = free_port()
        arguments = ("--", "server", "--host", "127.0.0.1", "--port", str(self.port), "-y")
        self._process = await self._launch(*arguments)

    async def _launch(
        self, *arguments: str, stdout: int | None = None
    ) -> asyncio.subprocess.Process:
        """Starts a launcher; its standard output goes to the log, unless it is told where."""
        before = [argument for module in self._before for argument in ("--before", module)]
        with self._log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "dstack_simulator.launch.launcher",
                *before,
                "--pace",
                self._pace,
                *arguments,
                stdin=subprocess.PIPE,
                stdout=log if stdout is None else stdout,
                stderr=log,
                env=dict(self._environment),
                cwd=self._folder,
            )

    def _log_to_read(self) -> Path:
        """The log, or a copy beside the folder, which goes with the simulator."""
        if self._kept:
            return self._log
        copy = self._log.parent.with_name(f"{self._log.parent.name}-{self._log.name}")
        copy.touch(mode=0o600)
        shutil.copyfile(self._log, copy)
        return copy

    def _port_was_taken(self, start: int) -> bool:
        with self._log.open("rb") as file:
            file.seek(start)
            return _TAKEN in file.read()

    async def _answers(self) -> bool:
        end = asyncio.get_running_loop().time() + self._limit
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            while self.running and asyncio.get_running_loop().time() < end:
                try:
                    async with session.get(f"http://127.0.0.1:{self.port}/healthcheck") as answer:
                        if answer.status == 200:
                            return True
                except (aiohttp.ClientError, asyncio.TimeoutError):
                    pass
                await asyncio.sleep(_LOOK_EVERY)
        return False


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
