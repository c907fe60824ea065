"""What the columns of tables say, for whoever asks."""

from __future__ import annotations

from collections.abc import Mapping

from dstack_fleets_tui.tables.distribution import GROUP
from dstack_placement.engine import LANE_COLUMNS

#: By the key of a column, wherever it stands.
_ANYWHERE: Mapping[str, str] = {
    **{each.short: each.help for each in LANE_COLUMNS},
    "age": "since it was submitted or created",
    "backend": "the cloud that it is of, or ssh for a host of your own",
    "deployment": "the number of the deployment that it is at",
    "fleet": "the fleet that it is in",
    "fleets": "replicas that run by fleet, and after + those that start",
    "group": "the replica group",
    "host": "its address or name",
    "max": "the maximum",
    "message": "the last message of the server",
    "min": "replicas that are always kept",
    "pending": "replicas that were submitted and do not run yet",
    "price": "dollars per hour",
    "priority": "lanes of higher priority are filled first; runs of higher priority start first",
    "project": "the project that it is read of; coloured where that can't be read now",
    "purchase": "spot or on-demand, and the reservation",
    "ready": "replicas whose probes pass and that can be reached: they get requests",
    "running": "replicas that run, ready or not",
    "since": "since when it is so",
    "status": "the word of the server",
    "stopping": "replicas that stop; they may still have open requests",
    "why": "why replicas are there, or are not",
}
#: By the view that a table is of, what is its own.
_BY_VIEW: Mapping[str, Mapping[str, str]] = {
    "fleets": {
        "fleet": "its name; project/name for one that another project lends",
        "health": "DOWN: no instance can be used; DEGRADED: a part of them",
        "kind": "cloud, where the server starts instances, or ssh, hosts that are there",
        "nodes": "minimum and maximum number of instances, and in brackets those to begin with",
        "instances": "how many are in which state",
        "room": "idle instances, free blocks, and how many more may start",
        "gpu": "kind of GPU, those in use and all",
        "trend": "the part of the GPUs in use over the last 30 minutes",
        "replicas": "replicas of services there",
        "spot": "which instances may be bought",
        "price_trend": "the price over the last 30 minutes",
        "backends": "the clouds that it takes instances of",
    },
    "services": {
        "service": "its name",
        "health": "DOWN, DEGRADED, STARTING or OK: how many of the desired take requests",
        "problems": "how many problems concern it; ! where one is more than a notice",
        "wanted": "replicas that it should have now, within its minimum and maximum",
        "trend": "the part of the desired that was ready over the last 30 minutes",
        "router": "its router, once it was looked at, and its ready workers",
        "rollout": "the deployment, and how many replicas are at it while it goes on",
        "price_trend": "the price over the last 30 minutes",
        "url": "where requests go",
    },
    "problems": {
        "severity": "critical: requests fail or a baseline is broken; notice: it costs money",
        "kind": "what kind of thing it is of",
        "subject": "the service, fleet or instance",
        "health": "how the service is that it concerns, the worst of several",
        "problem": "what is so",
        "since": "how long; + where it may be longer, new since you last looked",
        "price": "dollars per hour for what nobody uses",
    },
    "events": {
        "time": "when the server recorded it",
        "about": "what it happened to",
        "event": "what happened",
        "by": "who did it; server where nobody asked for it",
    },
    "runs": {
        "run": "its name",
        "type": "service, task or dev environment",
        "user": "whose it is",
        "jobs": "jobs that run, of those that are active",
        "gpu": "the GPUs that its jobs have",
    },
    "what if": {
        "service": "its name",
        "outcome": "what happens to it",
        "now": "replicas that run now",
        "lost": "those that are lost",
        "stays": "those that stay",
        "starts": "those that start elsewhere",
        "waits": "those that find no room",
        "price": "dollars per hour now",
        "price_after": "dollars per hour once it is so",
    },
    "instances": {
        "num": "its number in the fleet",
        "state": "the server's status, and whether it can be reached",
        "runs": "the jobs on it",
        "gpu": "its GPUs",
        "blocks": "parts of it in use, of all that it is divided into",
        "health": "what dstack's health check of the host found",
        "region": "where it is",
        "idle": "since when nothing runs there",
    },
    "distribution": {
        "fleet": "a lane's fleet, or one that has replicas without being a lane",
        "pool": "the replica group whose lane it is; none for a lane of the service",
        "target": "replicas that the lane should have now",
    },
    "replicas": {
        "replica": "its number",
        "instance": "the instance that it is on",
        "state": "the server's status of its job",
        "next": "what it waits for, and how long that may take",
        "probes": "whether its probes pass, and how many times in a row",
        "role": "router, or the part of a request that it works on",
        "router": "what its router makes of it",
        "gpu": "the GPUs that it has",
        "gpu_use": "how busy its GPUs are, in percent",
        "gpu_trend": "the same over the last 30 minutes",
        "gpu_memory": "memory of its GPUs in use, of all",
        "memory": "memory of the host in use, of what it may have",
        "restarts": "how often it was submitted again",
    },
    "router": {
        "sync": "where it stands in the router's list, against what dstack expects",
        "router": "what the router says of it",
        "dstack": "the server's status of its job",
        "probes": "whether its probes pass",
        "role": "the part of a request that it works on",
        "load": "requests that the router has it work on",
        "load_trend": "the same over the last 30 minutes",
        "replica": "the replica that it is",
        "address": "where the router sends requests",
        "model": "what it serves, by the router",
    },
    "rollout": {"replicas": "replicas at this deployment"},
    "history": {
        "submission": "its number",
        "state": "how it is, or how it ended",
        "began": "when it was submitted",
        "lasted": "how long it was there",
        "exit": "the exit code of its process",
        "where": "fleet and instance",
    },
    "logs": {"time": "when it was written", "line": "what was written"},
}
#: Views with the table of another one.
_SAME = {"events_here": "events"}


def meaning(view: str, key: str) -> str:
    """What a column says.

    Args:
        view: The view that its table is of: a list, or a view of what is open.
        key: The column's key.

    Returns:
        A few words; empty where nobody wrote any.
    """
    if key.startswith(GROUP):
        return "replicas of that group"
    own = _BY_VIEW.get(_SAME.get(view, view), {})
    return own.get(key) or _ANYWHERE.get(key, "")
