"""Run in a process of its own: what the add-on makes of services, and dstack's models with it.

`python -m tests.servers.read_specs FOLDER` writes JSON.
"""

# ruff: noqa: E402
from __future__ import annotations

import json
import sys
from typing import Any

import yaml

from dstack_placement.server.compat import schema

schema.install()

from dstack._internal.core.models.common import validate_extra_ignore
from dstack._internal.core.models.configurations import DstackConfiguration
from dstack._internal.core.models.runs import RunSpec
from dstack._internal.server.services.runs.spec import check_can_update_run_spec

from dstack_placement.server.assignment import planning
from dstack_placement.server.runs import specs
from tests.builders.written_services import DRAINING, SPECS, STORED
from tests.servers.lanes import EXAMPLES


def _read(spec: dict[str, Any]) -> list[Any]:
    read = RunSpec.model_validate(spec)
    return [
        read.model_dump(mode="json"),
        [[g.name, g.replicas.min, g.replicas.max] for g in read.configuration.replica_groups],
        [fleet.format() for fleet in read.merged_profile.fleets or []],
    ]


def _stored(configuration: dict[str, Any]) -> str:
    read = validate_extra_ignore(RunSpec, {"configuration": configuration})
    return str(read.model_dump_json())


def _drains(services: list[dict[str, Any]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {"limits": [], "refused": [], "stored": [], "changed": []}
    for each in services:
        try:
            spec = RunSpec.model_validate({"configuration": each})
        except ValueError as error:
            found["refused"].append("30 minutes" in str(error) or "negative" in str(error))
            continue
        limits = [specs.drain_of(spec.configuration, group) for group in ("prefill", "gone")]
        found["limits"].append([limit.total_seconds() for limit in limits])
        dumped = json.loads(spec.model_dump_json())["configuration"]
        found["stored"].append([dumped.get("drain"), dumped["groups"][0].get("drain")])
    for new in (services[1], services[0]):
        first, second = (RunSpec.model_validate({"configuration": e}) for e in (services[0], new))
        diff = planning.check_can_update(check_can_update_run_spec, first, second)
        found["changed"].append(sorted(diff["configuration"]))
    return found


def main(folder: str) -> dict[str, Any]:
    """What is made of them."""
    examples = [DstackConfiguration.model_validate(yaml.safe_load(each)) for each in EXAMPLES]
    return {
        "dump": [_stored(each) for each in STORED],
        "read": [_read(each) for each in SPECS],
        "drains": _drains(DRAINING),
        "examples": [each.root.name for each in examples],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:]), default=str))
