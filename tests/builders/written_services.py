"""Services as they are written, with lanes and without: what dstack's models make of them."""

from __future__ import annotations

from typing import Any

from tests.servers.lanes import service

GROUPS: list[dict[str, Any]] = [
    {"name": "prefill", "replicas": 1, "commands": ["serve"]},
    {"name": "decode", "replicas": 2, "commands": ["serve"]},
]
GROUPED: dict[str, Any] = {"replicas": None, "commands": None, "fleets": None, "groups": GROUPS}

PLAIN = service("chat", fleets=["gpu-spot", "other/gpu"])
GROUPED_PLAIN = service("chat", **GROUPED)
WITH_LANES = service("chat")
RECLAIMS = service("chat", reclaim=False)
LANES = [{"name": "gpu-spot", "min_replicas": 1}]
GROUPS_WITH_LANES = service(
    "chat", **{**GROUPED, "groups": [{**group, "fleets": LANES} for group in GROUPS]}
)
LENT = service("chat", fleets=[{"name": "other/gpu", "min_replicas": 1}])

STORED = (PLAIN, GROUPED_PLAIN, WITH_LANES, GROUPS_WITH_LANES, LENT, RECLAIMS)

COUNTS: tuple[Any, ...] = (None, 2, "2", "1..4", "1 .. 4", "..4", {"min": 1, "max": 4}, {"max": 3})


def _specs() -> list[dict[str, Any]]:
    scaling = {"metric": "rps", "target": 1}
    ranged = ("1..4", "1 .. 4", "..4", {"min": 1, "max": 4}, {"max": 3})
    services = []
    for count in COUNTS:
        rule = scaling if count in ranged else None
        services.append(service("chat", replicas=count, scaling=rule))
        if count is None:
            continue
        group = {"replicas": count, "scaling": rule, "commands": ["serve"]}
        for key in ("groups", "replicas"):
            named = {"name": "decode", **group, "fleets": ["gpu", {"name": "a/b", "priority": 1}]}
            grouped = {**GROUPED, "groups": None, key: [group, {**named}]}
            services.append(service("chat", **grouped))
    profiles: tuple[Any, ...] = (None, {"name": "mine", "fleets": ["lent/far", "near"]})
    listed: tuple[Any, ...] = (None, [], ["own"], [{"name": "own", "max_replicas": 1}])
    return [
        {"configuration": {**each, "fleets": fleets}, "profile": profile}
        for each in services
        for profile in profiles
        for fleets in listed
    ]


SPECS = _specs()

PAIRS: tuple[tuple[Any, Any], ...] = (
    (None, None),
    ("2m", None),
    ("off", 45),
    (False, "off"),
    (True, "30m"),
    ("31m", None),
    (None, -1),
)
DRAINING = [
    service("chat", **{**GROUPED, "groups": [{**GROUPS[0], "drain": of_group}], "drain": whole})
    for whole, of_group in PAIRS
]
