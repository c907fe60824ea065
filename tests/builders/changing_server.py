"""A server in memory whose service and fleet can be changed, with faults and delays on the way."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable
from typing import Any

import httpx

from dstack_api_client.transport.client import Client
from tests.builders import answers
from tests.servers.fake_server import FakeServer

Fault = Callable[[httpx.Request], httpx.Response]


class ChangingServer(FakeServer):
    """A `FakeServer` with a service `chat` and a fleet `fleet-1` that are planned and applied.

    Attributes:
        held: By how a path ends, what its answers wait for.
        faults: By how a path ends, what answers in place of the server once it has done its part.
        writes: The paths of the requests that change something, in their order.
        deaf: Whether runs go on that were to end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fleets = [answers.fleet(1)]
        self.runs = [answers.run(1, answers.job(0, name="chat"), name="chat")]
        self.runs[0]["run_spec"]["configuration"]["priority"] = 0
        self.held: dict[str, asyncio.Event] = {}
        self.faults: dict[str, Fault] = {}
        self.writes: list[str] = []
        self.deaf = False

    def hold(self, path: str) -> asyncio.Event:
        """Has answers of a kind wait until the event is set."""
        self.held[path] = asyncio.Event()
        return self.held[path]

    def client(self, **options: Any) -> Client:
        options.setdefault("transport", httpx.MockTransport(self.answer))
        return super_client(self, options)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """Answers, late or wrongly where a test has said so."""
        response = self(request)
        path = request.url.path
        for end, event in list(self.held.items()):
            if path.endswith(end):
                await event.wait()
        for end, fault in list(self.faults.items()):
            if path.endswith(end):
                return fault(request)
        return response

    def _answer(self, path: str, query: dict[str, Any]) -> httpx.Response:
        if path == "/api/users/get_my_user":
            return httpx.Response(200, json={"id": answers.ident(7), "username": "ada"})
        if path.endswith("/runs/get_plan"):
            plan = {
                "action": "update",
                "job_plans": [],
                "effective_run_spec": query["run_spec"],
            }
            return httpx.Response(200, json=plan)
        if path.endswith("/runs/apply"):
            self.writes.append(path)
            run = self.run_named(query["plan"]["run_spec"]["run_name"])
            run["run_spec"] = copy.deepcopy(query["plan"]["run_spec"])
            run["deployment_num"] += 1
            return httpx.Response(200, json=run)
        if path.endswith(("/runs/stop", "/runs/delete")):
            self.writes.append(path)
            if not self.deaf:
                self._end(query["runs_names"], deleted=path.endswith("/delete"))
            return httpx.Response(200, content=b"null")
        if path.endswith("/fleets/get") and "name" in query:
            found = [fleet for fleet in self.fleets if fleet["name"] == query["name"]]
            if found:
                return httpx.Response(200, json=self._fleet(found[0]))
            detail = [{"msg": "Resource not found", "code": "resource_not_exists"}]
            return httpx.Response(400, json={"detail": detail})
        if path.endswith("/fleets/get_plan"):
            name = query["spec"]["configuration"]["name"]
            known = next((fleet for fleet in self.fleets if fleet["name"] == name), None)
            plan = {
                "action": "update" if known else "create",
                "effective_spec": query["spec"],
                "current_resource": known,
                "offers": [],
            }
            return httpx.Response(200, json=plan)
        if path.endswith("/fleets/apply"):
            self.writes.append(path)
            return self._apply_fleet(query["plan"]["spec"])
        if path.endswith(("/fleets/delete", "/fleets/delete_instances")):
            self.writes.append(path)
            if path.endswith("/delete"):
                self.fleets = [f for f in self.fleets if f["name"] not in query["names"]]
            return httpx.Response(200, content=b"null")
        if path.endswith("/placement/rebalance"):
            self.writes.append(path)
            return httpx.Response(200, json={"moves": []})
        return super()._answer(path, query)

    def _end(self, names: list[str], *, deleted: bool) -> None:
        for run in [each for each in self.runs if each["run_spec"]["run_name"] in names]:
            if deleted:
                self.runs.remove(run)
            else:
                run["status"] = "terminating"

    def _apply_fleet(self, spec: dict[str, Any]) -> httpx.Response:
        name = spec["configuration"]["name"]
        known = next((fleet for fleet in self.fleets if fleet["name"] == name), None)
        if known is None:
            number = len(self.fleets) + 1
            known = answers.fleet(number, name=name)
            self.fleets.append(known)
        known["spec"] = copy.deepcopy(spec)
        return httpx.Response(200, json=self._fleet(known))


def super_client(server: FakeServer, options: dict[str, Any]) -> Client:
    """A client that does not sleep between tries."""

    async def no_sleep(seconds: float) -> None:
        del seconds

    options.setdefault("sleep", no_sleep)
    del server
    return Client("http://server", "secret-token", **options)


def body(response: httpx.Response) -> Any:
    """What an answer says."""
    return json.loads(response.read())


class FleetServer(ChangingServer):
    """A server that has one fleet, and stores it in the form in which it is sent."""

    def __init__(self, name: str, configuration: dict[str, Any]) -> None:
        super().__init__()
        (self._only,) = self.fleets
        self._only.update(name=name, spec={"configuration": configuration, "profile": {}})

    @property
    def configuration(self) -> dict[str, Any]:
        """What is stored of the fleet."""
        stored: dict[str, Any] = self._only["spec"]["configuration"]
        return stored
