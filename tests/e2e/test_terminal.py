"""The dashboard as a program in a terminal of its own."""

from __future__ import annotations

import signal

import pytest

from dstack_simulator.handle.handle import Handle
from tests.servers.bare_terminal import connecting, terminal
from tests.waiting import until

pytestmark = pytest.mark.e2e


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
        program.forget()
        program.process.send_signal(signal.SIGCONT)
        await until(lambda: program.shows("rerank"), what="the problems again")
        program.press("1")
        await until(lambda: program.shows("gpu-reserved"), what="the fleets")
        program.press("q")
        await until(lambda: program.process.poll() is not None, limit=15, what="the end")
        assert program.process.returncode == 0


async def test_a_signal_ends_it_though_its_terminal_takes_no_text(demo_sim: Handle):
    """As where the connection of an SSH session stalls."""
    async with terminal(unread=True, **connecting(demo_sim)) as program:
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
