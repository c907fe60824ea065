"""The plan of a fleet's edit, as text for people and as data for programs."""

from __future__ import annotations

from typing import Any

from dstack_api_client.edits.base.base import Base
from dstack_api_client.edits.fleet.fleets import FleetPlan
from dstack_api_client.text import one_line
from dstack_fleets_tui.output.payload import VERSION, time
from dstack_fleets_tui.output.plans import (
    caution_text,
    change_items,
    changes_text,
    danger_text,
    in_plain,
    offer_items,
    warning_items,
)


def fleet_plan_text(plan: FleetPlan, base: Base, *, plain: bool = False) -> str:
    """A plan for people to read."""
    where = f"{one_line(plan.project)} @ {one_line(base.target.server)}"
    text = f"Plan for fleet {one_line(plan.name)} in {where}\n{danger_text(plan.warnings)}"
    text += changes_text(plan.changes)
    ends = [one_line(instance.name) for instance in plan.ends]
    doing = [f"start {plan.starts}"] if plan.starts else []
    doing += [f"add {', '.join(map(one_line, plan.added))}"] if plan.added else []
    doing += [f"end {', '.join(ends)}"] if ends else []
    text += f"\ninstances: {'; '.join(doing)}\n" if doing else ""
    text += caution_text(plan.warnings)
    return in_plain(text) if plain else text


def fleet_plan_item(plan: FleetPlan, base: Base) -> dict[str, Any]:
    """A plan for programs."""
    return {
        "version": VERSION,
        "server": base.target.server,
        "project": plan.project,
        "fleet": plan.name,
        "base": {"id": base.id, "read_at": time(base.read_at)},
        "changes": change_items(plan.changes),
        "instances": {
            "start": plan.starts,
            "add": list(plan.added),
            "end": [instance.name for instance in plan.ends],
        },
        "offers": offer_items(plan.offers),
        "warnings": warning_items(plan.warnings),
    }
