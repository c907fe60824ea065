"""A server in memory that pages, filters and errs as dstack's does, counting what it is asked."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx

from dstack_api_client.transport.client import Client
from tests.builders import answers

FINISHED = {"terminated", "failed", "done"}


class FakeServer:
    """What a server has, to be changed by a test as it likes."""

    def __init__(self) -> None:
        self.version: str | None = "0.22.5"
        self.fleets: list[dict[str, Any]] = []
        self.instances: list[dict[str, Any]] = []
        self.runs: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = [
            answers.event(0, "Project created", ("project", answers.ident(1), "main"), seconds=-100)
        ]
        self.logs: dict[str, list[dict[str, Any]]] = {}
        self.now = 0.0
        self.asked: Counter[str] = Counter()
        self.fail: Callable[[str], httpx.Response | Exception | None] = lambda path: None

    def client(self, **options: Any) -> Client:
        async def no_sleep(seconds: float) -> None:
            del seconds

        options.setdefault("sleep", no_sleep)
        options.setdefault("transport", httpx.MockTransport(self))
        return Client("http://server", "secret-token", **options)

    def happens(self, message: str, *targets: tuple[str, str, str], late: float = 0.0) -> None:
        """Records an event now, or as if it had been so many seconds ago."""
        number = len(self.events)
        self.events.append(answers.event(number, message, *targets, seconds=self.now - late))

    def writes(self, submission_id: str, *lines: str) -> None:
        """Adds lines to the output of a job, now."""
        written = self.logs.setdefault(submission_id, [])
        for line in lines:
            message = base64.b64encode(line.encode() + b"\n").decode()
            written.append({"timestamp": answers.at(self.now), "message": message})

    def run_named(self, name: str) -> dict[str, Any]:
        return next(run for run in self.runs if run["run_spec"]["run_name"] == name)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.asked[path.rsplit("/api/", 1)[-1].replace("project/main/", "")] += 1
        failure = self.fail(path)
        if isinstance(failure, Exception):
            raise failure
        if failure is not None:
            return failure
        if path != "/api/server/get_info" and (
            request.headers.get("Authorization") != "Bearer secret-token"
        ):
            return httpx.Response(403, json={"detail": {"msg": "Invalid token", "code": None}})
        query = json.loads(request.content) if request.content else {}
        return self._answer(path, query)

    def _answer(self, path: str, query: dict[str, Any]) -> httpx.Response:
        if path == "/api/server/get_info":
            return _ok({"server_version": self.version})
        if path == "/api/projects/main/get":
            return _ok(
                {
                    "project_id": answers.ident(1),
                    "project_name": "main",
                    "backends": [{"name": "aws"}],
                }
            )
        if path == "/api/fleets/list":
            page = _page(self.fleets, query, "created_at", "prev_created_at", "prev_id")
            return _ok([self._fleet(fleet) for fleet in page])
        if path == "/api/project/main/fleets/list":
            return _ok([self._fleet(fleet) for fleet in self.fleets])
        owner = path.split("/")[3]
        if path.endswith("/fleets/get"):
            found = _of(owner, self.fleets, query.get("id"), query.get("name"))
            return _ok(self._fleet(found[0])) if found else _missing()
        if path.endswith("/instances/get"):
            found = _of(owner, self.instances, query["id"])
            return _ok(found[0]) if found else _missing()
        if path == "/api/runs/list":
            runs = [
                run for run in self.runs if not (query["only_active"] and run["status"] in FINISHED)
            ]
            page = _page(runs, query, "submitted_at", "prev_submitted_at", "prev_run_id")
            return _ok([_run(run, jobs=query["include_jobs"]) for run in page])
        if path == "/api/project/main/runs/get":
            found = [
                run
                for run in self.runs
                if run["id"] == query.get("id")
                or run["run_spec"]["run_name"] == query.get("run_name")
            ]
            return _ok(found[0]) if found else _missing()
        if path == "/api/project/main/logs/poll":
            written = self.logs.get(query["job_submission_id"], [])
            return _ok({"logs": written[::-1][: query["limit"]], "next_token": None})
        if path == "/api/events/list":
            return _ok(self._events(query))
        return httpx.Response(404, json={"detail": {"msg": "Not found", "code": None}})

    def _fleet(self, fleet: dict[str, Any]) -> dict[str, Any]:
        here = [
            each
            for each in self.instances
            if each["fleet_id"] == fleet["id"]
            # A host that could not be set up stays in the list; what has ended else is deleted.
            and (each["status"] != "terminated" or each["termination_reason"])
        ]
        return {**fleet, "instances": here}

    def _events(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        events = self.events
        for kind in ("job", "instance"):
            wanted = query.get(f"target_{kind}s")
            if wanted is not None:
                events = [
                    event
                    for event in events
                    if any(t["type"] == kind and t["id"] in wanted for t in event["targets"])
                ]
        return _page(events, query, "recorded_at", "prev_recorded_at", "prev_id")


def _page(
    items: list[dict[str, Any]], query: dict[str, Any], time: str, prev_time: str, prev_id: str
) -> list[dict[str, Any]]:
    """Newest first and smaller ids first, or the other way round, after what was seen last."""

    def moment(item: dict[str, Any]) -> float:
        return answers.seconds(item[time])

    ordered = sorted(sorted(items, key=lambda item: item["id"]), key=moment, reverse=True)
    ascending = query.get("ascending", False)
    if ascending:
        ordered.reverse()
    if query.get(prev_time) is not None:
        last, last_id = answers.seconds(query[prev_time]), query.get(prev_id)

        def is_after(item: dict[str, Any]) -> bool:
            if moment(item) != last:
                return (moment(item) > last) is ascending
            return last_id is not None and (item["id"] < last_id) is ascending

        ordered = [item for item in ordered if item["id"] != last_id and is_after(item)]
    return ordered[: query["limit"]]


def _of(
    owner: str, items: list[dict[str, Any]], wanted: str | None, name: str | None = None
) -> list[dict[str, Any]]:
    return [
        item
        for item in items
        if item["project_name"] == owner and (item["id"] == wanted or item["name"] == name)
    ]


def _run(run: dict[str, Any], *, jobs: bool) -> dict[str, Any]:
    return {**run, "jobs": run["jobs"] if jobs else []}


def _ok(answer: Any) -> httpx.Response:
    """An answer that comes over the line: what is given as content counts no bytes."""
    stream = httpx.ByteStream(json.dumps(answer).encode())
    return httpx.Response(200, headers={"Content-Type": "application/json"}, stream=stream)


def _missing() -> httpx.Response:
    detail = [{"msg": "Resource not found", "code": "resource_not_exists"}]
    return httpx.Response(400, json={"detail": detail})
