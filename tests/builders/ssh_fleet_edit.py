"""A fleet of SSH hosts to be edited."""

from __future__ import annotations

from typing import Any

from dstack_api_client.edits.base.base import Base, Target
from dstack_api_client.edits.fleet.fleet import FleetEdit
from dstack_api_client.model.snapshot import Snapshot
from tests.builders import snapshots
from tests.builders.snapshots import NOW

PRIVATE = "-----BEGIN OPENSSH PRIVATE KEY-----\nnobody-sees-this\n"


def host(name: str, **values: Any) -> dict[str, Any]:
    """A host as the server stores it."""
    keys = ("port", "user", "identity_file", "proxy_jump", "internal_ip", "ssh_key", "blocks")
    return {"hostname": name, **dict.fromkeys(keys), **values}


def base(*hosts: Any, identity_file: str | None = "~/.ssh/lab", **values: Any) -> Base:
    """The fleet as it was read."""
    ssh = {
        "user": "ubuntu",
        "port": None,
        "identity_file": identity_file,
        "ssh_key": None,
        "proxy_jump": None,
        "hosts": list(hosts or ("10.0.0.1", host("10.0.0.2", port=2222))),
        "network": None,
        **values,
    }
    configuration = {"type": "fleet", "name": "lab", "blocks": 1, "ssh_config": ssh}
    return Base(
        Target("http://server", "main", "fleet", "lab"),
        "f-lab",
        "active",
        0,
        {"configuration": configuration, "profile": {"name": "default"}},
        {"project_name": "main"},
        NOW,
    )


def edit(*hosts: Any, **values: Any) -> FleetEdit:
    """An edit that changes nothing yet."""
    return FleetEdit.begin(base(*hosts, **values))


def snapshot() -> Snapshot:
    """The fleet with a busy host 10.0.0.1, on which a replica runs, and an idle 10.0.0.2."""
    states = ("busy", "idle")
    instances = [
        snapshots.instance(
            f"lab-{num}",
            num=num,
            hostname=f"10.0.0.{num + 1}",
            status=state,
            busy_blocks=int(state == "busy"),
            price=0.0,
        )
        for num, state in enumerate(states)
    ]
    lab = snapshots.fleet("lab", kind="ssh", instance_ids=tuple(each.id for each in instances))
    return snapshots.snapshot(fleets=[lab], instances=instances)
