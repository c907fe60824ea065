"""Keys reach the dashboard through tmux and GNU screen, Esc among them."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from functools import partial

import pytest

from tests.servers.bare_terminal import Terminal
from tests.waiting import until

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["tmux", "screen"])
async def test_esc_and_quit_come_through(name, tmp_path):
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    within = {
        "tmux": ("tmux", "-S", str(tmp_path / "socket"), "-f", os.devnull, "new-session", "--"),
        # A longer name makes its socket's path too long for it.
        "screen": ("screen", "-c", os.devnull, "-S", "s"),
    }[name]
    folder = tmp_path / "screens"
    folder.mkdir(mode=0o700)
    environment = {"HOME": str(tmp_path), "SCREENDIR": str(folder), "TMUX": "", "STY": ""}
    terminal = Terminal(within=within, **environment)
    try:
        await until(lambda: terminal.shows("no dstack configuration"), what="the first screen")
        for keys, seen in (("\x10", "Search"), ("\x1b", "try again")):
            terminal.forget()
            terminal.press(keys)
            await until(partial(terminal.shows, seen), what=f"what {keys!r} leads to")
        terminal.press("q")
        await until(lambda: terminal.process.poll() is not None, what="the end")
    finally:
        terminal.end()
        if name == "tmux":
            kill = [*within[:3], "kill-server"]
            await asyncio.to_thread(subprocess.run, kill, check=False, capture_output=True)
