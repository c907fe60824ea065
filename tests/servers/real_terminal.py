"""The dashboard in a terminal that people use: tmux where there is one, else a bare terminal."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from tests.servers.bare_terminal import Terminal, terminal
from tests.waiting import until

#: What a terminal sends for keys that are no letters.
_SENT = {"Down": "\x1b[B", "Right": "\x1b[C", "Enter": "\r"}


class Screen(Protocol):
    """A running dashboard."""

    def shows(self, text: str) -> bool:
        """Whether a text is, or in a bare terminal was, on the screen."""

    def press(self, *keys: str) -> None:
        """Presses keys, by letter or by tmux's name."""


class Bare:
    """A terminal that only remembers what was written to it."""

    def __init__(self, program: Terminal) -> None:
        self._program = program

    def shows(self, text: str) -> bool:
        return self._program.shows(text)

    def press(self, *keys: str) -> None:
        self._program.press("".join(_SENT.get(key, key) for key in keys))


class Tmux:
    """A tmux of its own, with the dashboard in its one window."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._tmux = ["tmux", "-S", str(folder / "s"), "-f", os.devnull]
        self.last = ""
        self._run(
            "new-session",
            *("-d", "-x", "140", "-y", "40"),
            *(sys.executable, "-m", "dstack_fleets_tui"),
            environment={**os.environ, **environment, "TERM": "xterm-256color"},
        )

    def shows(self, text: str) -> bool:
        self.last = self._run("capture-pane", "-p")
        return text in self.last

    def press(self, *keys: str) -> None:
        self._run("send-keys", *keys)

    def end(self) -> None:
        self._run("kill-server", check=False)

    def _run(
        self, *arguments: str, environment: dict[str, str] | None = None, check: bool = True
    ) -> str:
        command: Sequence[str] = [*self._tmux, *arguments]
        done = subprocess.run(command, env=environment, check=check, capture_output=True, text=True)
        return done.stdout


@asynccontextmanager
async def real_terminal(**environment: str) -> AsyncIterator[Screen]:
    """Starts the dashboard in it."""
    if shutil.which("tmux") is None:
        async with terminal(**environment) as program:
            yield Bare(program)
        return
    # A socket's path has to be short.
    with tempfile.TemporaryDirectory(prefix="tmux-") as folder:
        window = Tmux(Path(folder), environment)
        try:
            yield window
        finally:
            window.end()


async def shown(screen: Screen, text: str, *, limit: float = 30) -> None:
    """Waits for a text."""
    try:
        await until(lambda: screen.shows(text), limit=limit, every=0.1, what=text)
    except AssertionError as error:
        raise AssertionError(f"{error}, but\n{getattr(screen, 'last', '')}") from None
