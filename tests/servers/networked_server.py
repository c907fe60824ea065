"""A server in memory with the add-on, whose service with lanes can be changed and rebalanced."""

from __future__ import annotations

from typing import Any

import httpx

from tests.builders import answers
from tests.builders.changing_server import ChangingServer
from tests.servers.addon_answers import LANES, AddonServer, lane

#: What a rebalancing moves.
MOVE = {"replica_num": 0, "group": "0", "fleet": "fleet-1", "to": "fleet-2"}


class NetworkedServer(ChangingServer, AddonServer):
    """Both of its kinds: it is changed, and it has the placement add-on."""

    def __init__(self) -> None:
        super().__init__()
        self.features += ["rebalance"]
        self.fleets = [answers.fleet(1), answers.fleet(2)]
        self.runs[0]["run_spec"]["configuration"]["fleets"] = list(LANES)
        self.place(self.runs[0])

    def _answer(self, path: str, query: dict[str, Any]) -> httpx.Response:
        if path.endswith("/placement/preview"):
            moves = query["rebalance"]
            replica = {"action": "move" if moves else "stay", "fleet": "fleet-1", "to": "fleet-2"}
            return httpx.Response(
                200,
                json={
                    "run_id": self.runs[0]["id"],
                    "observed_at": answers.at(self.now),
                    "managed": True,
                    "lanes": [lane("fleet-1", min_replicas=1, priority=10), lane("fleet-2")],
                    "replicas": [{"replica_num": 0, "group": "0", "why": "", **replica}],
                },
            )
        if path.endswith("/placement/rebalance"):
            self.writes.append(path)
            return httpx.Response(200, json={"moves": [MOVE]})
        return super()._answer(path, query)
