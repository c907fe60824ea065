"""Runs the real SMG router as a child process that never outlives the simulator."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from dstack_simulator.folder import MARK_VARIABLE


class RouterError(RuntimeError):
    """The router could not be started."""


def router_arguments(arguments: Sequence[str], *, address: str, metrics_port: int) -> list[str]:
    """The command line people wrote, bound to one address of this machine.

    `--host 0.0.0.0` would take the port on every emulated host at once, and so would the port for
    Prometheus metrics.
    """
    kept: list[str] = []
    skip = False
    for word in arguments:
        if skip:
            skip = False
            continue
        name = word.partition("=")[0]
        if name in ("--host", "--prometheus-host", "--prometheus-port"):
            skip = "=" not in word
            continue
        kept.append(word)
    return [
        *kept,
        "--host", address,
        "--prometheus-host", address,
        "--prometheus-port", str(metrics_port),
    ]  # fmt: skip


def port_of(arguments: Sequence[str], default: int) -> int:
    """The port that a router's command line names."""
    for position, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name == "--port":
            text = value if equals else "".join(arguments[position + 1 : position + 2])
            return int(text) if text.isdecimal() else default
    return default


class RouterProcess:
    """One `smg launch` process; its output goes to a callback, line by line."""

    def __init__(
        self, arguments: Sequence[str], *, folder: Path, on_line: Callable[[str], None]
    ) -> None:
        self._arguments = list(arguments)
        self._folder = folder
        self._on_line = on_line
        self._process: asyncio.subprocess.Process | None = None
        self._interrupted = False

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        if self._process is None or self._process.returncode is not None:
            return None
        return self._process.pid

    async def run(self) -> int:
        """Starts the router and waits for its end.

        Returns:
            Its exit status; 128 and the signal's number when a signal ended it.

        Raises:
            RouterError: `smg` is not installed.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        environment = {
            name: value
            for name, value in os.environ.items()
            if name in ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TMPDIR", MARK_VARIABLE)
        }
        environment["HOME"] = str(self._folder)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(Path(__file__).with_name("tether.py")),
                *self._arguments,
                # Never written to: it ends when this process does, and the router with it.
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                cwd=self._folder,
                env=environment,
            )
        except OSError as error:
            raise RouterError(f"The smg router did not start: {error}. Install smg.") from error
        self._process = process
        if self._interrupted:
            self.interrupt()
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                self._on_line(line.decode(errors="replace").rstrip())
            status = await process.wait()
        except asyncio.CancelledError:
            self.kill()
            await process.wait()
            raise
        return status if status >= 0 else 128 - status

    def freeze(self, frozen: bool) -> None:
        """Stops the process where it is, so that it answers nothing, or lets it go on."""
        self._send(signal.SIGSTOP if frozen else signal.SIGCONT)

    def interrupt(self) -> None:
        """Asks the process to end, as Ctrl+C does; one that is just being started, too."""
        self._interrupted = True
        self._send(signal.SIGINT)

    def kill(self) -> None:
        """Ends the process at once."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
