"""Specs and edits for tests that need no server."""

from __future__ import annotations

import copy
from datetime import datetime, timezone
from typing import Any

from dstack_api_client.edits.base.base import Base, Target
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.model.capabilities import Capabilities

WITH_LANES = Capabilities("0.22.5", True, "0.1.0", frozenset({"lanes", "preview"}))
STOCK = Capabilities("0.22.5")
SECRET = "hf_never_shown"

CONFIGURATION: dict[str, Any] = {
    "port": {"local_port": 80, "container_port": 8000},
    "gateway": None,
    "strip_prefix": True,
    "probes": [],
    "scaling": None,
    "replicas": {"min": 2, "max": 2},
    "groups": None,
    "commands": ["serve --model acme"],
    "type": "service",
    "name": "chat",
    "privileged": False,
    "env": {"HF_TOKEN": SECRET},
    "registry_auth": {"username": "u", "password": SECRET},
    "resources": {"gpu": {"name": ["H100"], "count": {"min": 8, "max": 8}}},
    "priority": 0,
    "retry": None,
    "fleets": [
        {
            "project": None,
            "name": "gpu-reserved",
            "min_replicas": 1,
            "max_replicas": 1,
            "priority": 10,
        },
        {"project": None, "name": "gpu-spot"},
    ],
    "of_a_later_version": {"kept": [1, 2.5, {"as": "it was"}]},
}
SCALING = {"metric": "rps", "target": 10.0, "window": None}


def group(name: str, **changes: Any) -> dict[str, Any]:
    """A replica group as the server sends it."""
    return {
        "name": name,
        "replicas": {"min": 1, "max": 1},
        "scaling": None,
        "spot_policy": None,
        "reservation": None,
        "commands": ["serve"],
        "router": None,
        **changes,
    }


def base(**changes: Any) -> Base:
    """A service as it was read; changes are to its configuration."""
    configuration = {**copy.deepcopy(CONFIGURATION), **changes}
    return Base(
        target=Target("http://server", "main", "service", "chat"),
        id="5bba1f8e-0000-4000-8000-000000000000",
        status="running",
        deployment=3,
        spec={
            "run_name": "chat",
            "repo_id": "none",
            "configuration": configuration,
            "profile": {"name": "default", "fleets": None, "retry": None},
            "ssh_key_pub": "ssh-ed25519 AAAA",
            "of_a_later_version": None,
        },
        resource={"id": "5bba", "service": {"url": "/proxy/services/main/chat/"}},
        read_at=datetime(2026, 1, 1, tzinfo=timezone.utc),
    )


def edit(*, lanes: bool = True, **changes: Any) -> ServiceEdit:
    """An edit that changes nothing yet."""
    return ServiceEdit.begin(base(**changes), WITH_LANES if lanes else STOCK)
