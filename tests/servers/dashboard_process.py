"""The dashboard as a process on a terminal, in front of a server in memory."""

from __future__ import annotations

import asyncio
import stat
import termios
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.builders.changing_server import ChangingServer
from tests.servers.bare_terminal import Terminal, terminal
from tests.servers.faulty_proxy import faulty_proxy
from tests.waiting import until

TOKEN = "secret-token"
#: What somebody has typed by the time that something happens.
TYPED = "4711"
_RIGHT, _ENTER = "\x1b[C", "\r"
_OPEN = "the editor is open"
_PATIENT = "tests.servers.patient_dashboard"


@dataclass
class Dashboard:
    """A running dashboard.

    Attributes:
        terminal: Its terminal.
        server: What it reads and changes.
        home: The folder that is its home, with the folders of state and of what is running.
        environment: What it was started with.
        held: Set to let the server answer a change that it was sent.
    """

    terminal: Terminal
    server: ChangingServer
    home: Path
    environment: dict[str, str]
    held: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def state(self) -> Path:
        """Where it keeps what it keeps."""
        return self.home / "state" / "dstack-fleets-tui"

    @property
    def running(self) -> Path:
        """Where it has what goes when it ends."""
        return self.home / "run"

    @property
    def kept(self) -> str:
        """All that it keeps, but for its locks."""
        # What is being written has a dot before its name, until it takes the place of what was.
        files = sorted(each for each in self.state.rglob("[!.]*") if each.is_file())
        return "\n".join(file.read_text() for file in files)

    async def shows(self, text: str, *, limit: float = 20) -> None:
        """Waits for a text."""
        try:
            await until(lambda: self.terminal.shows(text), limit=limit, what=text)
        except AssertionError as error:
            raise AssertionError(f"{error}, but {self.terminal.written[-3000:]!r}") from None

    async def press(self, keys: str, shows: str) -> None:
        """Presses keys, and waits for what comes of them."""
        self.terminal.forget()
        self.terminal.press(keys)
        await self.shows(shows)

    async def press_until(self, keys: str, shows: str) -> None:
        """The same again and again: a key that comes before a screen is drawn does nothing."""

        def look() -> bool:
            there = self.terminal.shows(shows)
            if not there:
                self.terminal.press(keys)
            return there

        await until(look, every=1, limit=20, what=shows)

    async def ended(self) -> int:
        """Waits for its end; gives its exit code."""
        process = self.terminal.process

        await until(lambda: process.poll() is not None, limit=25, what="the end")
        self.terminal.read()
        return int(process.returncode)

    @property
    def has_its_modes_back(self) -> bool:
        """Whether the terminal echoes and takes lines, as a shell left it."""
        local = termios.tcgetattr(self.terminal.master)[3]
        return bool(local & termios.ECHO and local & termios.ICANON)


async def to_list(at: Dashboard) -> None:
    await at.press("2", "chat")


async def to_form(at: Dashboard) -> None:
    """A number is typed into the form, and kept as a draft."""
    await to_list(at)
    await at.press("e", "nothing changed yet")
    await at.press(f"{TYPED}{_ENTER}", "draft kept")


async def to_text(at: Dashboard) -> None:
    """A line is typed into the text, which is not taken over."""
    await to_list(at)
    await at.press("e", "nothing changed yet")
    await at.press("E", "Ctrl+S save")
    await at.press_until(f"\x1b[200~# {TYPED}\n\x1b[201~", TYPED)


async def to_editor(at: Dashboard) -> None:
    """The user's editor has saved something, and runs."""
    script = at.home / "editor"
    script.write_text(
        f'#!/bin/sh\nsed -i "s/^priority: .*//; 1s/^/priority: 47\\n/" "$1"\n'
        f"echo {_OPEN}\nexec sleep 100\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    await to_list(at)
    await at.press("e", "nothing changed yet")
    await at.press("E", _OPEN)


async def to_plan(at: Dashboard) -> None:
    await to_form(at)
    await at.press("p", "Plan for chat")


async def to_sent(at: Dashboard) -> None:
    """The request has gone out, and the server has not answered."""
    at.held = at.server.hold("runs/apply")
    await to_plan(at)

    await at.press_until(_RIGHT, "[ Apply ]")
    at.terminal.press(_ENTER)
    await until(lambda: at.server.writes, what="the request")


async def to_following(at: Dashboard) -> None:
    """The change was made, and what comes of it is followed."""
    await to_sent(at)
    at.server.held.clear()
    at.held.set()
    await at.shows("was applied")


STEPS: dict[str, Callable[[Dashboard], Awaitable[None]]] = {
    "list": to_list,
    "form": to_form,
    "text": to_text,
    "editor": to_editor,
    "plan": to_plan,
    "sent": to_sent,
    "following": to_following,
}


@asynccontextmanager
async def dashboard(home: Path, **environment: str) -> AsyncIterator[Dashboard]:
    """Starts it, and waits until it shows the project."""
    for name in ("state", "run"):
        (home / name).mkdir(exist_ok=True)
    async with faulty_proxy() as proxy:
        given = {
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home),
            "XDG_STATE_HOME": str(home / "state"),
            "XDG_RUNTIME_DIR": str(home / "run"),
            "DSTACK_SERVER_URL": proxy.url,
            "DSTACK_TOKEN": TOKEN,
            "DSTACK_PROJECT": "main",
            "VISUAL": "",
            "EDITOR": str(home / "editor"),
            **environment,
        }
        async with _started(proxy.server, home, given) as at:
            yield at


@asynccontextmanager
async def beside(at: Dashboard) -> AsyncIterator[Dashboard]:
    """Starts another one on the same server and the same folders."""
    async with _started(at.server, at.home, at.environment) as other:
        yield other


@asynccontextmanager
async def _started(
    server: ChangingServer, home: Path, environment: dict[str, str]
) -> AsyncIterator[Dashboard]:
    async with terminal(module=_PATIENT, **environment) as program:
        at = Dashboard(program, server, home, environment)
        await at.shows("Problems", limit=40)
        yield at
