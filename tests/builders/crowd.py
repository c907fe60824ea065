"""A project of many records, whose answers have slips in many of them at once.

A slip in one record costs that record, so one reading tries many. The records are answers of
servers of three versions: 0.22.5 in the scenario `demo`, and the older two with hosts and running
jobs that were written into their databases. Each is there several times, under other names.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid5
from zlib import crc32

import httpx
import msgspec

from dstack_api_client.model.replica import FINISHED
from tests.builders import answers
from tests.builders.mutations import slipped
from tests.servers.addon_answers import FEATURES, lane, summary

VERSIONS = ("0.20.29", "0.21.5", "0.22.5")
_FILE = Path(__file__).parent / "data" / "recorded_answers.json"
#: How many times each recorded project is there.
_TIMES = 6
#: Polls of one client, and the events that are new with each.
POLLS = 10
_NEW_EVENTS = 12
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: What lists are in the order of.
_ORDER = ("id", "created_at", "submitted_at", "recorded_at")
#: Of a run or a fleet with slips, the share of its records that have one. Others have none at all:
#: that nothing is lost of them shows what a slip costs.
_OF_FAMILY = 0.95
#: Kinds of records with others in them, and which.
_MEMBERS = {"fleet": "instance", "run": "job"}
#: Kinds of records with a configuration, and where theirs is.
CONFIGURED = {"run": "run_spec", "fleet": "spec"}
#: The share of slips in these that are in their configuration: it is one of many fields else.
_IN_CONFIGURATION = 0.3
#: What plans offer.
OFFER = {
    "backend": "aws",
    "instance": answers.machine(),
    "region": "us-east-1",
    "price": 32.0,
    "availability": "available",
    "blocks": 1,
    "total_blocks": 8,
}
_LANE = {"properties": {"name": {}, "min_replicas": {}, "max_replicas": {}}}


class Key(NamedTuple):
    """A record: of which kind, and its id."""

    kind: str
    id: str


class Records(NamedTuple):
    """What a project has.

    Attributes:
        things: Each record; fleets are without their instances, runs without their jobs.
        within: The fleet of each instance, and the run of each job and each placement.
        events: The events, the oldest first.
        now: When the last of them happened.
    """

    things: dict[Key, dict[str, Any]]
    within: dict[Key, Key]
    events: list[Key]
    now: datetime


@cache
def records(version: str) -> Records:
    """What a project on a server of that version has; not to be changed."""
    recorded = msgspec.json.decode(_FILE.read_bytes())[version]
    names = [run["run_spec"]["run_name"] for run in recorded["runs"]]
    names += [fleet["name"] for fleet in recorded["fleets"]]
    text = json.dumps(recorded)
    things: dict[Key, dict[str, Any]] = {}
    within: dict[Key, Key] = {}
    for number in range(_TIMES):
        _add(msgspec.json.decode(_another(text, names, number)), things, within)
    events = [key for key in things if key.kind == "event"]
    events.sort(key=lambda key: (things[key]["recorded_at"], key.id))
    return Records(things, within, events, _moment(things[events[-1]]["recorded_at"]))


def _another(text: str, names: Collection[str], number: int) -> str:
    """A project like another one, with ids and names of its own."""
    if not number:
        return text
    text = _UUID.sub(lambda found: str(uuid5(UUID(found[0]), str(number))), text)
    return re.sub(rf"\b(?:{'|'.join(map(re.escape, names))})\b", rf"\g<0>{number}", text)


def _add(
    project: dict[str, Any], things: dict[Key, dict[str, Any]], within: dict[Key, Key]
) -> None:
    for fleet in project["fleets"]:
        key = Key("fleet", fleet["id"])
        for instance in fleet.pop("instances"):
            things[own := Key("instance", instance["id"])] = instance
            within[own] = key
        things[key] = fleet
    for run in project["runs"]:
        key = Key("run", run["id"])
        for number, job in enumerate(run.pop("jobs")):
            things[own := Key("job", f"{run['id']} {number}")] = job
            within[own] = key
        things[key] = run
    for event in project["events"]:
        things[Key("event", event["id"])] = event
    fleets = [fleet["name"] for fleet in project["fleets"]]
    for told in project.get("placed", ()):
        run = things.get(Key("run", told["run_id"]))
        if run is None:
            continue
        run["run_spec"]["configuration"]["fleets"] = [
            {"name": fleets[0], "min_replicas": 1, "priority": 10}, {"name": fleets[1]},
        ]  # fmt: skip
        placed = {
            "run_id": run["id"],
            "run_name": run["run_spec"]["run_name"],
            "managed": True,
            "observed_at": run["last_processed_at"],
            "groups": told["groups"],
            "lanes": [lane(fleets[0], min_replicas=1, priority=10, deficit=1), lane(fleets[1])],
            "replicas": [
                {"replica_num": 0, "group": told["groups"][0]["name"], "job_id": run["id"],
                 "fleet": fleets[1], "reason": "fallback", "why": "no room"}
            ],
            "rebalancing": None,
            "notes": ["a note"],
        }  # fmt: skip
        above = Key("run", run["id"])
        for kind, thing in (("placed", summary(placed)), ("placement", placed)):
            things[own := Key(kind, run["id"])] = thing
            within[own] = above
            above = own
    for name, router in project.get("routers", {}).items():
        run_id = next(run["id"] for run in project["runs"] if run["run_spec"]["run_name"] == name)
        things[Key("router", run_id)] = router


class Slip(NamedTuple):
    """A slip in a record: the record as it is sent, and what was done to it."""

    text: str
    what: str


class Crowd:
    """A server of a version that has slips in many of its records.

    Args:
        version: One of `VERSIONS`.

    Attributes:
        tried: The slips that were sent so far, by the poll and the record, with what they were.
        now: What time it is.
        seconds: How long it has been asked by now.
        wanted: The placements that were asked for with the list, at the last time.
        planned: How many of the slips were in what was planned and followed.
    """

    def __init__(self, version: str) -> None:
        self._version = version
        self._records = records(version)
        self._right = _written(version)
        self._things = self._records.things
        self._fleets = self._newest("fleet", "created_at")
        self._runs = self._newest("run", "submitted_at")
        self._by_name = {
            (key.kind, self.name(key)): key for key in self._things if key.kind in CONFIGURED
        }
        self._members: dict[Key, list[Key]] = {}
        for own, above in self._records.within.items():
            if own.kind in _MEMBERS.values():
                self._members.setdefault(above, []).append(own)
        self._polls = 0
        self._slips: dict[Key, Slip | None] = {}
        self._chosen: set[Key] = set()
        self._seed = ""
        self._events: list[Key] = self._records.events[: -POLLS * _NEW_EVENTS]
        self.tried: dict[tuple[int, Key], str] = {}
        self._lost: set[Key] = set()
        self.now = self._records.now + timedelta(minutes=10)
        self.seconds = 0.0
        self.wanted: list[Key] = []
        self.planned = 0

    def _newest(self, kind: str, time: str) -> list[Key]:
        """The records of a kind in the order of pages."""
        keys = sorted(key for key in self._things if key.kind == kind)
        return sorted(keys, key=lambda key: self._things[key][time], reverse=True)

    def name(self, key: Key) -> str:
        """What a run or a fleet is called where it has no slip."""
        thing = self._things[key]
        name: str = thing["run_spec"]["run_name"] if key.kind == "run" else thing["name"]
        return name

    @property
    def slipped(self) -> Mapping[Key, str]:
        """The records that had a slip at the last poll, and what was done to them."""
        return {
            key: slip.what
            for key, slip in self._slips.items()
            if slip is not None and (self._polls, key) in self.tried
        }

    def next_poll(
        self,
        seed: str,
        share: float,
        only: Collection[tuple[int, Key]] | None = None,
        *,
        full: bool = True,
    ) -> None:
        """Has more events, and slips in other records.

        Args:
            seed: Where chance comes from.
            share: The share of runs, fleets and events that have any.
            only: Those of all polls that have one; all that chance has chosen without it.
            full: Whether everything will be read again.
        """
        self._polls += 1
        self._slips = {}
        if full:
            self._lost = {key for key in self._lost if key.kind == "event"}
        self.wanted = []
        told = len(self._events) + _NEW_EVENTS
        self._events = self._records.events[:told]
        self._chosen = {
            key
            for key in self._things
            if (only is None or (self._polls, key) in only)
            and self._chance(seed, self._family(key)) < share
            and self._chance(seed, key, "alone") < _OF_FAMILY
        }
        self._seed = seed
        self._lost |= self._chosen - {*self._records.events[told:]}

    def _chance(self, *what: object) -> float:
        """A number of the poll at hand, by which chance chooses: it hangs on nothing else."""
        return crc32(" ".join(map(str, (self._polls, *what))).encode()) / 2**32

    def _family(self, key: Key) -> Key:
        """The fleet or the run that a record belongs to, or the record itself."""
        while (above := self._above(key)) is not None:
            key = above
        return key

    def _above(self, key: Key) -> Key | None:
        """What a record comes with; older servers tell nothing of routers, and services do."""
        return Key("run", key.id) if key.kind == "router" else self._records.within.get(key)

    def _slip(self, key: Key) -> Slip | None:
        """The slip in a record; None where nothing came of it."""
        if key not in self._slips:
            self._slips[key] = self._new_slip(key)
        return self._slips[key]

    def _new_slip(self, key: Key) -> Slip | None:
        right = self._right[key]
        chance = random.Random(f"{self._seed} {self._polls} {key.id} {key.kind}")
        thing = msgspec.json.decode(right)
        part = CONFIGURED.get(key.kind)
        if part is not None and chance.random() < _IN_CONFIGURATION:
            thing[part], what = slipped(thing[part], chance)
            what = f"{part}.{what}"
        else:
            thing, what = slipped(thing, chance)
        text = _written_as(thing)
        if text == right or _elsewhere(thing, self._things[key]):
            return None
        return Slip(text, what)

    def clean(self, key: Key) -> bool:
        """Whether a record was read without a slip, and so was what it comes with.

        Events are read once, all else is with each full reading. A run comes with its jobs.
        """
        with_it = self._members.get(key, ()) if key.kind == "run" else ()
        above = self._above(key)
        return self._lost.isdisjoint((key, *with_it)) and (above is None or self.clean(above))

    @property
    def events(self) -> list[Key]:
        """The events so far, the oldest first."""
        return self._events

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answers over HTTP."""
        status, body, _ = self.answer(request.url.raw_path.decode(), request.content)
        return httpx.Response(status, content=body)

    def answer(self, path: str, asked: bytes) -> tuple[int, bytes, str]:
        """Answers: the status, the body, and no time."""
        query = msgspec.json.decode(asked) if asked else {}
        text = self._answer(path, query)
        if text is None:
            detail = [{"msg": "Resource not found", "code": "resource_not_exists"}]
            return 400, msgspec.json.encode({"detail": detail}), ""
        return (200, text.encode(), "") if text else (404, b'{"detail":"Not Found"}', "")

    def _answer(self, path: str, query: Mapping[str, Any]) -> str | None:
        """The answer; None for a thing that is not there, empty for an address that isn't."""
        match path.removeprefix("/api/").removeprefix("project/main/"):
            case "server/get_info":
                return json.dumps({"server_version": self._version})
            case "projects/main/get":
                return json.dumps({"project_id": str(UUID(int=1)), "project_name": "main"})
            case "fleets/list":
                page = self._page(self._fleets, "created_at", query, "prev_created_at", "prev_id")
                return _listed(map(self._text, page))
            case "runs/list":
                runs = [
                    key
                    for key in self._runs
                    if not query["only_active"] or self._things[key]["status"] not in FINISHED
                ]
                page = self._page(runs, "submitted_at", query, "prev_submitted_at", "prev_run_id")
                return _listed(self._text(key, alone=not query["include_jobs"]) for key in page)
            case "events/list":
                return _listed(map(self._text, self._events_of(query)))
            case "fleets/get":
                named = self._by_name.get(("fleet", query.get("name", "")))
                key = named or Key("fleet", query.get("id", ""))
                return self._text(key) if key in self._things else None
            case "instances/get":
                return self._found(Key("instance", query["id"]))
            case "runs/get_plan":
                jobs = {"job_spec": {"replica_group": "0"}, "offers": [OFFER], "total_offers": 1}
                spec = query["run_spec"]
                return json.dumps(
                    {"action": "update", "effective_run_spec": spec, "job_plans": [jobs]}
                )
            case "fleets/get_plan":
                spec = query["spec"]
                return json.dumps({"action": "update", "effective_spec": spec, "offers": [OFFER]})
            case "runs/get":
                named = self._by_name.get(("run", query.get("run_name", "")))
                return self._found(named or Key("run", query.get("id", "")))
            case name if self._version == VERSIONS[-1]:
                return self._of_addon(name, query)
        return ""

    def _of_addon(self, name: str, query: Mapping[str, Any]) -> str | None:
        if name == "placement/get_info":
            return json.dumps({"name": "x", "version": "1.0", "capabilities": FEATURES})
        if name == "/openapi.json":
            return json.dumps({"components": {"schemas": {"Lane": _LANE}}})
        if name == "placement/list":
            full = [self._by_name.get(("run", name)) for name in query["run_names"]]
            placed = [key for key in self._things if key.kind == "placed"]
            placements = [Key("placement", key.id) for key in full if key is not None]
            self.wanted = [key for key in placements if key in self._things]
            short, whole = (
                _listed(self._text(key) for key in keys if key in self._things)
                for keys in (placed, placements)
            )
            return f'{{"runs": {short}, "placements": {whole}}}'
        if name in ("placement/get", "placement/router"):
            kind = "placement" if name == "placement/get" else "router"
            run = self._by_name.get(("run", query["run_name"]))
            return None if run is None else self._found(Key(kind, run.id))
        return ""

    def _page(
        self, keys: list[Key], time: str, query: Mapping[str, Any], prev_time: str, prev_id: str
    ) -> list[Key]:
        """A page of records, as dstack gives it: by their time, of the same time by their id."""
        ascending = query.get("ascending", False)
        if (prev := query.get(prev_time)) is not None:
            last, last_id = _moment(prev), query.get(prev_id)

            def is_after(key: Key) -> bool:
                moment = self._moment(key, time)
                if moment != last:
                    return (moment > last) is ascending
                return last_id is not None and key.id != last_id and (key.id < last_id) is ascending

            keys = [key for key in keys if is_after(key)]
        return keys[: query.get("limit", 100)]

    def _events_of(self, query: Mapping[str, Any]) -> list[Key]:
        keys = self._events if query.get("ascending") else self._events[::-1]
        for kind in ("target_jobs", "target_instances", "within_runs"):
            wanted = query.get(kind)
            if wanted is not None:
                keys = [
                    key
                    for key in keys
                    if any(each["id"] in wanted for each in self._things[key]["targets"])
                ]
        return self._page(keys, "recorded_at", query, "prev_recorded_at", "prev_id")

    def _moment(self, key: Key, time: str) -> datetime:
        return _moment(self._things[key][time])

    def _found(self, key: Key) -> str | None:
        """A thing that is asked for alone: null in its place is no server's answer, as a whole."""
        if key not in self._things:
            return None
        text = self._text(key)
        return self._right[key] if text == "null" else text

    def _text(self, key: Key, *, alone: bool = False) -> str:
        """A record: a fleet with its instances, a run with its jobs unless it is alone."""
        slip = self._slip(key) if key in self._chosen else None
        text = self._right[key] if slip is None else slip.text
        if slip is not None:
            self.tried[self._polls, key] = slip.what
        name = _MEMBERS.get(key.kind)
        if name is None or not text.startswith("{") or text == "{}":
            return text
        members = () if alone else self._members.get(key, ())
        return f'{text[:-1]}, "{name}s": {_listed(map(self._text, members))}}}'


def _elsewhere(thing: Any, right: Mapping[str, Any]) -> bool:
    """Whether a record says that it stands elsewhere in its list: pages go on from there."""
    return isinstance(thing, dict) and any(
        isinstance(thing.get(name), str) and thing[name] != right.get(name) for name in _ORDER
    )


def _listed(texts: Iterable[str]) -> str:
    return f"[{', '.join(texts)}]"


def _written_as(thing: Any) -> str:
    try:
        return msgspec.json.encode(thing).decode()
    except (UnicodeEncodeError, OverflowError):  # what is no text, and what is too long a number
        return json.dumps(thing)


@cache
def _written(version: str) -> dict[Key, str]:
    return {key: _written_as(thing) for key, thing in records(version).things.items()}


@cache
def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
