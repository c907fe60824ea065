"""What gateways counted is told as long as dstack reads it again, and of all machines or not."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from dstack._internal.proxy.gateway.schemas.stats import Stat
from dstack._internal.server.services import backends  # noqa: F401  # gateways can't be imported first

from dstack_placement.server.gateways import gateway_traffic
from dstack_placement.server.gateways.gateway_traffic import GatewayCounts

RUN, KEY = uuid.UUID(int=1), ("main", "chat")


class Connection:
    """A connection to a machine of a gateway, with what dstack has read from it."""

    def __init__(self, address: str, **windows: tuple[int, float]) -> None:
        self.ip_address = address
        self.read(**windows)

    def read(self, **windows: tuple[int, float]) -> None:
        counted = {
            int(window[1:]): Stat(requests=requests, request_time=seconds)
            for window, (requests, seconds) in windows.items()
        }
        self.stats = {KEY: counted} if windows else {}


def told(machines: set[str | None], *connections: Any) -> tuple[int, float | None] | None:
    by_address = {each.ip_address: each for each in connections}
    found = gateway_traffic._of_run(RUN, KEY, machines, by_address)
    assert found is None or found.window == 60
    return None if found is None else (found.requests, found.request_time)


@pytest.mark.parametrize(
    ("machines", "expected"),
    [
        ({"a"}, (90, 0.2)),
        ({"a", "b"}, (120, 0.4)),
        ({"none"}, (0, None)),
        ({"a", "unread"}, None),
        ({"a", "not connected"}, None),
        ({"a", None}, None),
        ({"other windows"}, None),
        (set(), None),
    ],
)
def test_counts_are_summed_over_all_machines_or_not_told(
    machines: set[str | None], expected: tuple[int, float | None] | None
) -> None:
    connections = (
        Connection("a", w30=(50, 9.0), w60=(90, 0.2)),
        Connection("b", w60=(30, 1.0)),
        Connection("none", w60=(0, 0.0)),
        Connection("unread"),
        Connection("other windows", w30=(1, 1.0)),
    )
    assert told(machines, *connections) == expected


def test_what_is_not_read_again_is_told_no_longer_than_a_minute() -> None:
    time = [0.0]
    counts = GatewayCounts(lambda: time[0])
    one: Any = Connection("a", w60=(5, 1.0))
    hangs: Any = Connection("b", w60=(5, 1.0))

    def fresh_at(moment: float) -> list[str]:
        time[0] = moment
        return list(counts.fresh([one, hangs]))

    assert fresh_at(0) == ["a", "b"]
    one.read(w60=(5, 1.0))  # the same again, but read later
    assert fresh_at(60) == ["a", "b"]
    assert fresh_at(61) == ["a"]
    hangs.read(w60=(6, 1.0))
    assert fresh_at(120) == ["a", "b"]
