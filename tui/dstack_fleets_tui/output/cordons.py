"""Cordons and drains for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from dstack_api_client.model.cordon import Cordon, DrainPlan, Occupant
from dstack_fleets_tui.output.payload import VERSION, Item, optional_number, optional_time, time
from dstack_fleets_tui.words import formatting

if TYPE_CHECKING:
    from dstack_api_client.edits.perform.cordoning import CordonChange
    from dstack_api_client.whatif import DrainOutcome, GivingWay


def plan_lines(
    change: CordonChange,
    known: Cordon | None,
    plan: DrainPlan | None = None,
    outcome: DrainOutcome | None = None,
) -> Iterator[str]:
    """What a change would do, a line each.

    Args:
        change: The change.
        known: The cordon that is there.
        plan: What a drain would do.
        outcome: What it would bring besides.
    """
    if change.action == "uncordon":
        drains = known is not None and known.draining_since is not None
        ends = " The drain ends; a move that is under way is finished." if drains else ""
        yield f"{change.title} takes new replicas and jobs again.{ends}"
        return
    yield f"Nothing new is placed on {change.name}: no replica, no task, no dev environment."
    if plan is None:
        yield "What runs there stays."
        return
    if not plan.occupants:
        yield "Nothing is there that has to move."
    for each in plan.occupants:
        yield each.line
    gives = outcome.gives if outcome is not None else ()
    yield from map(_giving_line, gives)
    price = outcome.price if outcome is not None else None
    if price is not None and (price.now or price.after):
        which = "above" if gives else "there"
        now = f"The services {which} cost {formatting.price(price.now)} $/h now"
        if price.after is None:
            yield f"{now}; what they cost afterwards is not known."
        else:
            yield f"{now} and {formatting.price(price.after)} $/h afterwards."


def _giving_line(way: GivingWay) -> str:
    return (
        f"replica {way.number} of {way.service} gives way in {way.fleet} and moves to {way.to}:"
        f" {way.short} gets its minimum back"
    )


def plan_item(
    change: CordonChange, plan: DrainPlan | None, outcome: DrainOutcome | None = None
) -> dict[str, Any]:
    """The object that JSON shows of a change, described in docs/json.md."""
    price = outcome.price if outcome is not None else None
    return {
        "version": VERSION,
        "action": change.action,
        "fleet": change.fleet,
        "instance": change.number,
        "reason": change.reason,
        "force": change.force,
        "occupants": occupants(plan.occupants) if plan is not None else [],
        "broken_minimums": [
            {
                "service": each.run,
                "pool": each.pool or None,
                "fleet": each.fleet,
                "min_replicas": each.minimum,
                "replicas": each.replicas,
            }
            for each in (plan.broken if plan is not None else ())
        ],
        "gives_way": [
            {
                "service": way.service,
                "replica": way.number,
                "fleet": way.fleet,
                "to": way.to,
                "for": way.short,
            }
            for way in (outcome.gives if outcome is not None else ())
        ],
        "price_per_hour": optional_number(price.now if price is not None else None),
        "price_per_hour_after": optional_number(price.after if price is not None else None),
    }


def cordon_item(cordon: Cordon | None) -> Item | None:
    """What keeps new replicas and jobs away; `left` is empty unless it is drained."""
    if cordon is None:
        return None
    return {
        "of": "fleet" if cordon.number is None else "instance",
        "user": cordon.user,
        "reason": cordon.reason,
        "since": time(cordon.since),
        "draining_since": optional_time(cordon.draining_since),
        "left": [each.line for each in cordon.left],
    }


def occupants(left: Iterable[Occupant]) -> list[Item]:
    """Jobs on what is drained."""
    return [
        {
            "project": each.project,
            "run": each.run,
            "type": each.run_type,
            "replica": each.replica,
            "job": each.job,
            "instance": each.instance,
            "action": each.action,
            "to": each.to,
            "why": each.why,
        }
        for each in left
    ]
