"""HTTP to a port in a container, over the input and output of one OpenSSH process.

No port and no socket is opened on this machine, so nobody else on it can use the way. A shell
beside it ends the process when this one ends, however that happens: OpenSSH itself would go on as
long as the other side keeps a connection open whose near end is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from typing import Any

import httpcore

from dstack_api_client.text import one_line

#: No answer of a router is longer.
_MOST_BYTES = 32 * 1024 * 1024
#: What the last of several OpenSSH programs says when it did not get to the container.
_NOT_THROUGH = ("kex_exchange", "Connection closed by")
#: Lines of OpenSSH that are kept.
_MOST_LINES = 20
#: Seconds that the process has to end on request.
_END_SECONDS = 2.0
#: Runs a command with its own input and output, and ends it, with all that it started, when the
#: pipe whose number comes first is closed.
_GUARD = """
pipe=$1; shift
exec 4<&0
"$@" <&4 4<&- &
trap '' TERM
exec </dev/fd/"$pipe" >&- 2>&- 4<&-
read -r _
kill 0
wait
"""


class TunnelError(Exception):
    """The way ended, or there was none.

    Attributes:
        lines: What OpenSSH said.
    """

    def __init__(self, lines: Sequence[str] = ()) -> None:
        super().__init__("; ".join(lines))
        self.lines = list(lines)

    @property
    def nothing_listens(self) -> bool:
        """Whether the container was reached and nothing listens on the port."""
        through = not any(line.startswith(_NOT_THROUGH) for line in self.lines)
        return through and any("open failed" in line for line in self.lines)


class SlowError(Exception):
    """No answer came in time."""


class Tunnel:
    """One OpenSSH process, and the HTTP connection over it."""

    def __init__(self, process: asyncio.subprocess.Process, pipe: int) -> None:
        self._process = process
        self._pipe: int | None = pipe
        self._lines: list[str] = []
        self._reading = asyncio.create_task(self._read_errors())
        self._http = httpcore.AsyncHTTP11Connection(
            origin=httpcore.Origin(b"http", b"localhost", 80), stream=_Stdio(process)
        )

    @classmethod
    async def open(cls, command: Sequence[str]) -> Tunnel:
        """Starts OpenSSH; whether it gets through shows with the first request."""
        read_end, write_end = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *("/bin/sh", "-c", _GUARD, "ssh-guard", str(read_end), *command),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=(read_end,),
                # Ctrl+C in the terminal is for the app, which ends the process itself; and what
                # it starts is to be ended with it.
                start_new_session=True,
            )
        except BaseException:
            os.close(write_end)
            raise
        finally:
            os.close(read_end)
        return cls(process, write_end)

    @property
    def pid(self) -> int:
        """The id of the process that started OpenSSH, and of their group."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether OpenSSH has ended."""
        return self._reading.done()

    async def get(self, path: str, *, limit: float) -> tuple[int, bytes]:
        """Asks for something.

        Args:
            path: What.
            limit: Seconds until the whole answer must be there.

        Returns:
            The status and the body.

        Raises:
            TunnelError: The way ended.
            SlowError: No answer came in time.
        """
        try:
            return await asyncio.wait_for(self._get(path), limit)
        except asyncio.TimeoutError as error:
            raise SlowError from error
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise TunnelError(await self._last_lines() or [one_line(str(error))]) from error

    async def _get(self, path: str) -> tuple[int, bytes]:
        body = bytearray()
        async with self._http.stream(
            "GET", f"http://localhost{path}", headers={"Host": "localhost", "Accept": "*/*"}
        ) as response:
            async for part in response.aiter_stream():
                body += part
                if len(body) > _MOST_BYTES:
                    raise TunnelError([f"the answer is longer than {_MOST_BYTES} bytes"])
        return response.status, bytes(body)

    async def _read_errors(self) -> None:
        stderr = self._process.stderr
        assert stderr is not None
        with contextlib.suppress(ValueError):  # a line longer than any
            async for raw in stderr:
                line = one_line(raw.decode(errors="replace")).strip()
                if line:
                    self._lines = [*self._lines[-_MOST_LINES:], line]

    async def _last_lines(self) -> list[str]:
        """What OpenSSH said, once it has said all."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._reading), _END_SECONDS)
        return list(self._lines)

    async def close(self) -> None:
        """Ends OpenSSH and all that it started, by force if need be."""
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            os.close(pipe)
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _END_SECONDS)
        except asyncio.TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()
        await self._last_lines()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)


class _Stdio(httpcore.AsyncNetworkStream):
    """The input and output of a process as a network connection."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._input, self._output = process.stdin, process.stdout

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._output.read(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._input.write(buffer)
        await self._input.drain()

    async def aclose(self) -> None:
        self._input.close()

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # asked of an idle connection: whether it has ended
            return self._output.at_eof()
        return None
