"""A server in memory whose fleets are cordoned and drained, of which one replica moves off."""

from __future__ import annotations

from typing import Any

import httpx

from tests.builders import answers
from tests.servers.networked_server import NetworkedServer

MOVES = {
    "project": "main",
    "run_name": "chat",
    "run_type": "service",
    "group": "0",
    "instance": "fleet-1-0",
    "action": "move",
    "to": "fleet-2",
}


class CordoningServer(NetworkedServer):
    """A server on which a replica moves off what is drained.

    Attributes:
        told: What it was told to change, each with why.
        cordons: Those that there are.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features += ["cordons"]
        self.told: list[tuple[str, str, str | None]] = []
        self.cordons: list[dict[str, Any]] = []

    def _answer(self, path: str, query: dict[str, Any]) -> httpx.Response:
        name = path.rpartition("/placement/")[2]
        if name == "cordons":
            return httpx.Response(200, json={"cordons": self.cordons})
        if name == "drain_plan":
            return httpx.Response(200, json={"occupants": [MOVES]})
        if name in ("cordon", "drain", "uncordon"):
            self.told.append((name, query["fleet"], query.get("reason")))
            cordon = {"project": "main", "fleet_id": self.fleets[0]["id"], "fleet": query["fleet"]}
            cordon |= {"user": "ada", "reason": query.get("reason"), "since": answers.at(self.now)}
            drains = {"draining_since": answers.at(self.now), "left": [MOVES]}
            self.cordons = [] if name == "uncordon" else [{**cordon, **drains}]
            return httpx.Response(200, json={"cordon": next(iter(self.cordons), None)})
        return super()._answer(path, query)
