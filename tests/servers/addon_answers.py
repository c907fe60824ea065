"""A server in memory with the placement add-on."""

from __future__ import annotations

from typing import Any

import httpx

from tests.builders import answers
from tests.servers.fake_server import FakeServer

FEATURES = ["lanes", "placement", "preview", "list", "router"]
LANES = [{"name": "fleet-1", "min_replicas": 1, "priority": 10}, {"name": "fleet-2"}]


class AddonServer(FakeServer):
    """A `FakeServer` whose add-on says what a test has put there.

    Attributes:
        features: What the add-on can do.
        placements: Its answers about runs, by name.
        summaries: What it says of all of them in short.
        traffic: What gateways counted, as it says it.
        routers: Its answers about routers, by the name of the run.
        wanted: The names that were asked for in full with each list.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = list(FEATURES)
        self.placements: dict[str, dict[str, Any]] = {}
        self.routers: dict[str, dict[str, Any]] = {}
        self.traffic: list[dict[str, Any]] = []
        self.wanted: list[list[str]] = []
        self.lane_schema: dict[str, Any] = {
            "properties": {"name": {}, "min_replicas": {}, "max_replicas": {}, "priority": {}}
        }

    def place(self, run: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """Has the add-on know how a run is placed; its answer may be changed at any time."""
        placed = {
            "run_id": run["id"],
            "run_name": run["run_spec"]["run_name"],
            "managed": True,
            "observed_at": answers.at(self.now),
            "groups": [{"name": "0", "desired": 2, "pool": ""}],
            "lanes": [lane("fleet-1", min_replicas=1, priority=10), lane("fleet-2")],
            "replicas": [],
            "rebalancing": None,
            "notes": [],
            **changes,
        }
        self.placements[placed["run_name"]] = placed
        return placed

    def _answer(self, path: str, query: dict[str, Any]) -> httpx.Response:
        if path == "/openapi.json":
            schemas = {"Other": {"properties": {"name": {}}}, "Lane": self.lane_schema}
            return httpx.Response(200, json={"components": {"schemas": schemas}})
        if path == "/api/placement/get_info":
            info = {"name": "x", "version": "1.0", "capabilities": self.features}
            return httpx.Response(200, json=info)
        if path == "/api/project/main/placement/get":
            return self._found(self.placements, query)
        if path == "/api/project/main/placement/router":
            return self._found(self.routers, query)
        if path == "/api/project/main/placement/list":
            self.wanted.append(query["run_names"])
            runs = [summary(placed) for placed in self.placements.values()]
            full = [self.placements[n] for n in query["run_names"] if n in self.placements]
            answer = {"observed_at": answers.at(self.now), "runs": runs, "placements": full}
            if "traffic" in self.features:
                answer["traffic"] = self.traffic
            return httpx.Response(200, json=answer)
        return super()._answer(path, query)

    def _found(self, known: dict[str, dict[str, Any]], query: dict[str, Any]) -> httpx.Response:
        if query["run_name"] in known:
            return httpx.Response(200, json=known[query["run_name"]])
        detail = [{"msg": "Run not found", "code": "resource_not_exists"}]
        return httpx.Response(400, json={"detail": detail})


def lane(fleet: str, **changes: Any) -> dict[str, Any]:
    return {
        "pool": "",
        "fleet": fleet,
        "min_replicas": 0,
        "max_replicas": None,
        "priority": 0,
        "target": 1,
        "running": 1,
        "ready": 1,
        "pending": 0,
        "deficit": 0,
        "room": None,
        "cooldown_until": None,
        "reason": "",
        "after": 1,
        **changes,
    }


def summary(placed: dict[str, Any]) -> dict[str, Any]:
    """What the add-on tells in short of what it tells in full."""
    return {
        "run_id": placed["run_id"],
        "run_name": placed["run_name"],
        "managed": placed["managed"],
        "groups": placed["groups"],
        "deficits": [
            {
                "pool": each["pool"],
                "fleet": each["fleet"],
                "missing": each["deficit"],
                "since": answers.at(5),
                "reason": each["reason"],
            }
            for each in placed["lanes"]
            if each["deficit"]
        ],
        "cooldowns": [],
        "fallback_replicas": 0,
        "pending_replicas": 0,
        "pending": [],
        "rebalancing": placed["rebalancing"],
        "warnings": [],
    }
