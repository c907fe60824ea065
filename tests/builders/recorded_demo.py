"""Keeps a snapshot in a file, so that looks can be tested on real values.

`python -m tests.builders.recorded_demo` records the running demo again.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from dstack_api_client.feed.feed import Feed
from dstack_api_client.model.fleet import Fleet, Instance
from dstack_api_client.model.replica import Replica
from dstack_api_client.model.service import OtherRun, Service
from dstack_api_client.model.snapshot import ServerInfo, Snapshot
from dstack_api_client.transport.client import Client
from dstack_simulator import Simulator

#: Stands for the address of the recorded server.
ADDRESS = "http://127.0.0.1:3000"
FILE = Path(__file__).parent / "data" / "demo.json"
_LISTS = {
    "fleets": Fleet,
    "instances": Instance,
    "services": Service,
    "other_runs": OtherRun,
    "replicas": Replica,
}


def plain(thing: Any) -> dict[str, Any]:
    """A part of a snapshot as plain data; its digest is made again when it is loaded."""
    data = {field.name: getattr(thing, field.name) for field in fields(thing)}
    if "spec" in data:
        data["spec"] = dict(data["spec"])
        del data["spec_digest"]
    return data


def load(path: Path = FILE) -> Snapshot:
    """Reads a recorded snapshot."""
    data = msgspec.json.decode(path.read_bytes())
    lists: dict[str, Any] = {}
    for name, kind in _LISTS.items():
        things = []
        for item in data[name]:
            if "spec" in item:
                item["spec_digest"] = b64encode(item["id"].encode()).decode()
            things.append(msgspec.convert(item, kind, strict=False))
        key = "key" if name == "replicas" else "id"
        lists[name] = {getattr(thing, key): thing for thing in things}
    server = ServerInfo(ADDRESS, data["version"])
    observed_at = msgspec.convert(data["observed_at"], type=datetime)
    return Snapshot(server=server, project=data["project"], observed_at=observed_at, **lists)


async def observe() -> tuple[str, Snapshot]:
    """Starts the demo and reads it once it runs: the server's address and the snapshot."""
    async with Simulator("demo") as sim:
        await sim.settled()
        async with Client(sim.url, sim.token) as client:
            feed = Feed(client, sim.project)
            for full in (True, False, False):
                async for _ in feed.poll(full=full):
                    pass
        assert feed.snapshot is not None
        return sim.url, feed.snapshot


def save(url: str, snapshot: Snapshot, path: Path = FILE) -> None:
    """Writes a snapshot to a file, its server's address replaced by one that stays the same."""
    data = {
        "version": snapshot.server.version,
        "project": snapshot.project,
        "observed_at": snapshot.observed_at,
        **{name: [plain(v) for v in getattr(snapshot, name).values()] for name in _LISTS},
    }
    text = msgspec.json.encode(data).decode().replace(url, ADDRESS)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    save(*asyncio.run(observe()))
