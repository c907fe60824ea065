"""An output that neither a lost nor a stalled terminal holds up."""

from __future__ import annotations

import os
import pty
import threading

import pytest_asyncio

from dstack_fleets_tui.terminal.terminal_driver import TerminalOutput, say_last
from tests.waiting import until

_SCREEN = "x" * 4000


@pytest_asyncio.fixture
async def terminal():
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as file:
        with os.fdopen(master, "rb", 0) as other_end:
            yield file, other_end
        # Who still wrote would go on in the next terminal, which gets the same number.
        await until(lambda: not writing(), what="the end of what was being written")


def writing() -> bool:
    return any(thread.name == "terminal-output" for thread in threading.enumerate())


async def done(work) -> None:
    """Waits until work is done that must not stand still."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    await until(lambda: not thread.is_alive(), what="the end of what must not stand still")


def read_to(other_end, ending: bytes) -> bytes:
    """All up to an ending: one read gives what the terminal has by then."""
    text = b""
    while not text.endswith(ending):
        text += other_end.read(4096)
    return text


async def test_texts_come_in_order(terminal):
    file, other_end = terminal
    output = TerminalOutput(file)
    for number in range(100):
        output.write(f"{number}\n")
    output.stop()
    text = read_to(other_end, b"\n99\r\n")
    assert text.split() == [str(number).encode() for number in range(100)]


async def test_a_lost_terminal_takes_whatever_comes(terminal):
    file, other_end = terminal
    output = TerminalOutput(file)
    other_end.close()
    await done(lambda: [output.write(_SCREEN) for _ in range(100)])
    await done(output.stop)


async def test_a_stalled_terminal_is_waited_for(terminal):
    """Texts are not dropped while there is time."""
    file, other_end = terminal
    output, written = TerminalOutput(file), []

    def write():
        for number in range(100):
            output.write(_SCREEN)
            written.append(number)
        output.stop()

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    await until(lambda: len(written) > 30, what="a full queue")
    read = 0
    while read < 100 * len(_SCREEN):
        read += len(other_end.read(65536))
    await until(lambda: not thread.is_alive(), what="the last text")
    assert read == 100 * len(_SCREEN)


async def test_a_stalled_terminal_does_not_hold_up_the_end(terminal):
    file, _other_end = terminal
    output = TerminalOutput(file)
    wait = threading.Thread(target=lambda: [output.write(_SCREEN) for _ in range(100)], daemon=True)
    wait.start()
    output.end_soon()
    await until(lambda: not wait.is_alive(), what="the texts to be given up")
    await done(output.stop)


async def test_last_words_are_written_below_the_screen(terminal, monkeypatch):
    file, other_end = terminal
    monkeypatch.setattr("sys.__stderr__", file)
    say_last(["The draft could not be kept.", "Disk full."])
    text = read_to(other_end, b"full.\r\n")
    assert text == b"The draft could not be kept.\r\nDisk full.\r\n"


async def test_last_words_to_a_lost_terminal_are_no_fault(terminal, monkeypatch):
    file, other_end = terminal
    monkeypatch.setattr("sys.__stderr__", file)
    other_end.close()
    await done(lambda: say_last(["The draft could not be kept."]))
