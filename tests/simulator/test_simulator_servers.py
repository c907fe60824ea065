"""Several servers in one simulator; what they do together is in `tests.placement_server`."""

from __future__ import annotations

import pytest

from dstack_simulator import Simulator, SimulatorError


def test_several_servers_need_a_database_to_share() -> None:
    with pytest.raises(SimulatorError, match="Give the URL of a PostgreSQL database"):
        Simulator("empty", servers=2)


@pytest.mark.e2e
async def test_a_server_that_is_not_there_is_named(empty_sim: Simulator) -> None:
    assert empty_sim.urls == [empty_sim.url]
    with pytest.raises(SimulatorError, match="There is no server 2"):
        await empty_sim.faults.server_end(server=2)
