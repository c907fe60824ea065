"""A command that has the terminal to itself, and signals that come while it runs."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from dstack_fleets_tui.screens.parts.outside import Signalled, run_outside


def test_its_code_is_told() -> None:
    assert run_outside(["sh", "-c", "exit 3"]) == 3


def test_a_signal_that_another_thread_takes_is_heard(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    os.mkfifo(runs)

    def take() -> None:
        runs.read_text()  # until the command runs: by then the signal is waited for
        signal.pthread_kill(threading.get_ident(), signal.SIGHUP)

    thread = threading.Thread(target=take)
    thread.start()
    with pytest.raises(Signalled) as heard:
        run_outside(["sh", "-c", f"echo > '{runs}'; exec sleep 3600"])
    thread.join()
    assert heard.value.signal == signal.SIGHUP
