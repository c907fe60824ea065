"""A key in the form of a service with many replicas in many lanes: what is wrong, what follows.

It measures what each key computes before anything is painted, in processor time: the edit with what
is typed, its problems and warnings, the rows of the form, the dry run, and its lines.
"""

from __future__ import annotations

import gc
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from dstack_api_client.edits.base.base import Base, Target
from dstack_api_client.edits.base.difference import changed_fields
from dstack_api_client.edits.outlook import dryrun
from dstack_api_client.edits.service import checks
from dstack_api_client.edits.service.checks import FieldName
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui.editing import form, outlook
from tests.builders.projects import ADDON, fleet, instances, project, replica, service
from tests.builders.service_edits import CONFIGURATION, WITH_LANES

from .figures import Figure
from .table import Cases, Table, grown

_REPLICAS, _LANES = 1_000, 50
_SMALLER = 10
_ROUNDS = 20
_KEY = "a key in the field of a lane"
_BEFORE = {_KEY: 91.0}


def _edit(replicas: int, lanes: int) -> tuple[ServiceEdit, Snapshot]:
    """The service, spread evenly over its lanes, and where it is."""
    fleets = [f"fleet-{number}" for number in range(lanes)]
    here = [replica(number, fleets[number % lanes]) for number in range(replicas)]
    entries = [
        {"project": None, "name": name, "min_replicas": number % 3, "priority": number % 5}
        for number, name in enumerate(fleets)
    ]
    configuration: dict[str, Any] = {
        **CONFIGURATION,
        "replicas": {"min": replicas, "max": replicas},
        "fleets": entries,
    }
    spec = {"run_name": "chat", "configuration": configuration, "profile": {"name": "default"}}
    ours = service(here, spec=spec)
    hosts = [
        host for name in fleets for host in instances(name, *["busy"] * (replicas // lanes), "idle")
    ]
    shot = project(
        (ours, here), fleets=[fleet(name) for name in fleets], hosts=hosts, capabilities=ADDON
    )
    target = Target("http://server", "main", "service", "chat")
    at = datetime(2026, 1, 1, tzinfo=timezone.utc)
    base = Base(target, ours.id, "running", 3, spec, {}, at)
    return ServiceEdit.begin(base, WITH_LANES), replace(shot, capabilities=WITH_LANES)


def _cases(replicas: int, lanes: int) -> Cases:
    begun, shot = _edit(replicas, lanes)
    known = checks.known_fleets(shot)
    keys = 0
    gc.freeze()

    def key() -> object:
        """What the screen does for a key that is typed into a field."""
        nonlocal keys
        keys += 1
        place = form.place_of(FieldName("min_replicas", "", f"fleet-{lanes // 2}"))
        read = form.typed(begun, form.field_at(begun, place), str(keys % 8))
        assert isinstance(read, ServiceEdit)
        problems = checks.problems(read, known)
        found = dryrun.dry_run_here(read, shot)
        assert found is not None
        return (
            len(changed_fields(begun.base.spec, read.spec)),
            form.rows(read, problems),
            checks.warnings(read),
            outlook.whole(found),
        )

    def more() -> object:
        """Many replicas more, which all start somewhere."""
        read = begun.with_replicas("0", replicas + replicas // 10)
        return outlook.whole(dryrun.dry_run_here(read, shot))  # type: ignore[arg-type]

    return {_KEY: key, "a tenth more replicas": more}


def run() -> Table:
    small = _REPLICAS // _SMALLER, _LANES // _SMALLER
    cases = grown(_cases(*small), _cases(_REPLICAS, _LANES), _ROUNDS)
    return Table(
        title="A key in the edit form",
        columns=(
            "what",
            f"{small[0]} replicas, {small[1]} lanes",
            f"{_REPLICAS} replicas, {_LANES} lanes",
            "times",
        ),
        rows=[case.row for case in cases],
        note=f"Linear would be {_SMALLER} times.",
        figures=[
            Figure(
                f"edit form, {_REPLICAS:,} replicas in {_LANES} lanes: {case.name}",
                case.large,
                goal=10,
                before=_BEFORE.get(case.name),
            )
            for case in cases
        ],
    )
