"""What tests of the simulator share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from dstack_simulator import Simulator
from tests.simulator import beside as setting_up


@pytest.fixture(scope="session")
def beside() -> Iterator[Future[Simulator]]:
    """A simulator that is being set up in a thread; see `tests.simulator.beside`."""
    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(lambda: asyncio.run(setting_up.start()))
        yield future
        if future.exception() is None:
            future.result().stop()
