"""A server that is forked from a process that has dstack loaded, which is most of its start."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess

from dstack_simulator.world.server import GRACE, ServerProcess, free_port


class PreloadedServer(ServerProcess):
    """Killed, it is forked again from the same process; asked to end, it begins from nothing."""

    _launcher: asyncio.subprocess.Process | None = None
    _pid = 0
    _over: asyncio.Task[bytes] | None = None

    async def end(self, *, graceful: bool) -> None:
        """Ends the server.

        Args:
            graceful: Asks it to end, and ends what it was forked from.
        """
        if not graceful:
            await self.kill()
            return
        if self._over is not None and self.running:
            os.kill(self._pid, signal.SIGTERM)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._over), GRACE)
        await self.close()

    async def close(self) -> None:
        """Kills the server and what it was forked from."""
        await self.kill()
        launcher, self._launcher = self._launcher, None
        if launcher is not None:
            assert launcher.stdin is not None
            if launcher.returncode is None:
                launcher.kill()
            await launcher.wait()
            launcher.stdin.close()

    async def kill(self) -> None:
        """Kills the server, if it runs."""
        over, self._over = self._over, None
        if over is None:
            return
        if not over.done():
            os.kill(self._pid, signal.SIGKILL)
        await over

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._over is not None and not self._over.done()

    async def _spawn(self) -> None:
        self.port = free_port()
        if self._launcher is None:
            self._launcher = await self._launch("--preload", stdout=subprocess.PIPE)
        launcher = self._launcher
        assert launcher.stdin is not None
        assert launcher.stdout is not None
        arguments = f"server --host 127.0.0.1 --port {self.port} -y\n"
        launcher.stdin.write(arguments.encode())
        # Nothing, where it ended while it loaded dstack: the log says why.
        started = await launcher.stdout.readline()
        if started:
            self._pid = int(started)
            self._over = asyncio.create_task(launcher.stdout.readline())
