"""What the states of routers and workers mean, and what dstack does about them, in sentences."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from dstack_api_client.model.labels import in_status, share_of
from dstack_api_client.model.placement import Drain
from dstack_api_client.model.replica import Replica
from dstack_api_client.model.roles import consequence, lacking, named
from dstack_api_client.routers.expected import Expected
from dstack_api_client.routers.observation import MOST_SYNCED_BYTES, Listed, Look

#: Syncs that may be left out before it is worth a word.
_LATE_SYNCS = 6

NOT_MANAGED = (
    "A Dynamo router finds its workers by itself: dstack keeps no list of them and repairs none."
)
UNMANAGED_WORKER = (
    "Whether the router has it can't be seen: Dynamo workers register with the router themselves."
)
UNSEEN_WORKER = "It is not known whether the router has it: the router's list could not be read."
NO_ANSWER = (
    "The router's process does not answer, though its job runs. dstack goes on asking every few"
    " seconds; look at the log of its replica."
)
REFUSES = (
    "The router asks for an API key that dstack does not have, so dstack can neither add nor remove"
    " workers. Start it without one."
)
NOT_YET = "Its job does not run yet. dstack registers it once it does."
PENDING = "It has just started. dstack registers it as soon as it answers."
PENDING_IN_ROUTER = "The router has it and has not found it healthy yet; it gets no requests."
NOT_READY_WORKER = (
    "The router's health check fails and it gets no requests; after some more failures the router"
    " calls it failed. dstack will not repair this."
)
PROBES_FAIL = (
    "The router sends it requests although dstack's probes fail: by default the router checks"
    " only once a minute, and needs three failures."
)
PROBES_NOT_YET = (
    "It has started and the router sends it requests; dstack's probes have not passed yet."
)
DRAINED = (
    "The router is dropping it although its job runs: somebody removed it. dstack registers it"
    " again when it is gone."
)
DRAINING = (
    "The router finishes its last requests and drops it within seconds; there is nothing to do."
)
STALE_SOON = "Its job no longer runs. dstack removes it with the next sync, within seconds."
STALE = (
    "Its job no longer runs, and dstack has not removed it: requests still sent there fail. Check"
    " whether the server's sync runs."
)


def asked_to_drain(drain: Drain, now: datetime, *, listed: bool) -> str:
    """A worker that is to stop, and that the server has taken out of the list."""
    where = "The router has been asked to drop it" if listed else "It is out of the router's list"
    return (
        f"It is to stop: {drain.told(now)}. {where}; dstack ends it after {drain.limit} s at most."
    )


def failed(since: datetime | None) -> str:
    """A worker that runs and that the router calls failed."""
    when = f" as of {since.astimezone():%H:%M:%S}" if since is not None else ""
    return (
        f"The router can't reach it{when} and sends it no requests. dstack will not repair this:"
        " restart the worker, or fix the network between the two."
    )


def drift(entry: Listed, worker: Expected) -> str:
    """A worker that is listed with another address than its own."""
    return (
        f"The router dials {entry.address}, but it is at {worker.address}. dstack will not correct"
        " this: delete the entry from the router, and dstack registers it again."
    )


def duplicate(entry: Listed, first: Listed) -> str:
    """An entry too many for one worker."""
    return (
        f"The router has this worker as {first.address} too, and counts it twice. dstack will not"
        f" remove either: delete the entry {entry.id} from the router."
    )


def foreign(*, deleted: bool) -> str:
    """An entry that is not a job's."""
    if deleted:
        return (
            "It is not a job of this service. This version of dstack deletes it at the next sync."
        )
    return (
        "It is not a job of this service, and requests are sent to it. dstack never removes it:"
        " delete it from the router if it should not be there."
    )


def missing(
    worker: Expected, *, probes: bool | None, held: bool, lost: bool, router_fleet: str | None
) -> str:
    """A worker that runs and is not listed: the likely cause."""
    if lost:
        return (
            "The router had it and has it no longer, as after a restart. dstack registers it again"
            " with one of the next syncs."
        )
    if held:
        return (
            f"The router still has {worker.address} for a job that is gone. dstack removes that"
            " entry first and then registers this one."
        )
    if worker.engine.name == "vllm" and not worker.engine.grpc:
        return "It is vLLM over HTTP, which dstack never registers. Start it with gRPC."
    if worker.engine.asks_key:
        return (
            "It probably refuses dstack's check: its command sets an API key. dstack tries again at"
            " every sync; start it without a key."
        )
    if probes is False:
        return (
            "It is probably not serving yet: its probes fail. dstack registers it as soon as it"
            " answers; look at its log."
        )
    network = ""
    if router_fleet is not None and worker.fleet not in (None, router_fleet):
        network = f" Fleets {worker.fleet} and {router_fleet} may have no network in common."
    where = f"dial {worker.address}" if worker.address is not None else "reach it"
    if probes:
        return (
            f"It serves, so likely the router accepted it and can't {where}.{network} dstack tries"
            " again at every sync and can't fix the network."
        )
    return (
        f"Either it is not serving yet, or the router can't {where}.{network} dstack tries again at"
        " every sync; look at its log."
    )


def router_does_not_run(router: Replica | None) -> str:
    """A router without a running job."""
    if router is None:
        return "There is no replica of the router. dstack starts one while the service runs."
    said = f": {router.message.rstrip('.')}" if router.message else ""
    what = f"The router's replica {in_status(router.status)}{said}."
    if router.active:
        return f"{what} No requests pass until it runs."
    return f"{what} dstack starts it again only as far as the service's retry says."


def lacks(lacked: Sequence[str], roles: Collection[str]) -> str:
    """A router that has workers, and none for a part of each request."""
    text = f"{named(lacked)} is ready: {consequence(lacked, roles)} until one is."
    return text[0].upper() + text[1:]


def other_state(health: str) -> str:
    """A worker in a state that later routers have, named as they name it."""
    return f"The router calls it {health}, and does not call it ready."


def not_ready(workers: Sequence[Listed]) -> str:
    """A router that calls itself not ready."""
    if not workers:
        return "The router has no worker at all: requests get errors until dstack registers one."
    ready = [worker for worker in workers if worker.health == "ready"]
    roles = {worker.role for worker in workers if worker.role is not None}
    lacked = lacking(roles, {worker.role for worker in ready if worker.role is not None})
    if lacked:
        fails = consequence(lacked, roles)
        return f"None of its {' and '.join(lacked)} workers is ready: {fails} until one is."
    if len(workers) == 1:
        return "The only worker that it lists is not ready: requests get errors until it is."
    listed = share_of(len(ready), len(workers), "listed worker")
    return f"{listed} ready: requests get errors until more are."


def sync_is_late(look: Look, now: datetime) -> str:
    """Why workers of a router that is ready may not be registered or removed; else empty."""
    if look.size > MOST_SYNCED_BYTES:
        return (
            f"Its list has {look.size / 2**20:.1f} MB, more than the server reads: dstack's sync"
            " does nothing here until it is shorter."
        )
    last = look.last_sync_at
    if last is None or now - last < timedelta(seconds=_LATE_SYNCS * look.sync_interval):
        return ""
    return (
        f"dstack's last sync was {seconds(now - last)} ago: new workers are not registered. Look at"
        " the server's log."
    )


def blind(why: str, age: timedelta | None) -> str:
    """A router of which nothing new is known."""
    if age is None:
        return why or "It is being read for the first time."
    return f"The last answer is {seconds(age)} old. {why or 'A newer one is on its way.'}"


def seconds(age: timedelta) -> str:
    """An age in words."""
    whole = max(int(age.total_seconds()), 0)
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 60} m" if whole < 7200 else f"{whole // 3600} h"
