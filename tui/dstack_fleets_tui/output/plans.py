"""A plan and how far it has come, as text for people and as data for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dstack_api_client.edits.base.difference import FieldChange
from dstack_api_client.edits.base.merging import ThreeWay
from dstack_api_client.edits.follow.following import LaneProgress, Progress, State
from dstack_api_client.edits.offers.prices import PlanOffer
from dstack_api_client.edits.outlook.outlooks import DryRun, LaneOutlook, ReplicaOutlook
from dstack_api_client.edits.outlook.warnings import PlanWarning, Risk
from dstack_api_client.edits.plan.planning import Plan
from dstack_api_client.model.cordon import DrainPlan
from dstack_api_client.text import one_line
from dstack_fleets_tui.output import offers
from dstack_fleets_tui.output.payload import VERSION, optional_number, optional_time, time
from dstack_fleets_tui.output.table import Column, render
from dstack_fleets_tui.words import formatting, words
from dstack_placement.engine import LANE_COLUMNS

_RISKS = {Risk.DANGER: "DANGER: ", Risk.WARNING: "! ", Risk.NOTE: "note: "}
_PLAIN = str.maketrans({"–": "-", "…": "~", "→": ">"})
_CHANGES = (Column("FIELD"), Column("OLD", True), Column(""), Column("NEW"), Column("KIND"))
_LANES = (
    Column("PRIO", True),
    Column("FLEET"),
    Column("MIN", True),
    Column("MAX", True),
    Column("NOW", True),
    Column("AFTER", True),
    Column("START", True),
    Column("STOP", True),
    Column("MOVE", True),
    Column("WHY"),
)
_VERBS = (
    ("start", "start", "starts"),
    ("move", "move", "moves"),
    ("stop", "stop", "stops"),
    ("pending", "wait", "waits"),
    ("replace", "are replaced one by one", "is replaced"),
    ("stay", "stay", "stays"),
)


def plan_text(plan: Plan, *, plain: bool = False) -> str:
    """A plan for people to read."""
    base = plan.base
    where = f"{one_line(base.target.project)} @ {one_line(base.target.server)}"
    text = (
        f"Plan for {one_line(base.target.name)} in {where}   base: deployment {base.deployment}\n"
    )
    text += danger_text(plan.warnings)
    text += changes_text(plan.changes)
    if plan.dry_run is not None:
        lanes = [_lane(lane, plan.dry_run) for lane in plan.dry_run.lanes]
        text += f"\n{render(_LANES, lanes) if lanes else ''}"
        text += f"{_summary(plan.dry_run)}\n"
        extra = [words.surge(row, plan.dry_run.labels) for row in plan.dry_run.surges]
        text += "".join(f"{one_line(line)}\n" for line in extra)
    text += _offers(plan)
    text += caution_text(plan.warnings)
    return in_plain(text) if plain else text


def danger_text(found: Iterable[PlanWarning]) -> str:
    """What a plan begins with: its dangers, set off from what follows; empty without any."""
    lines = warning_lines(warning for warning in found if warning.risk is Risk.DANGER)
    return "".join(f"{line}\n" for line in ("", *lines)) if lines else ""


def caution_text(found: Iterable[PlanWarning]) -> str:
    """What a plan ends with: the warnings and notes that are no danger."""
    lines = warning_lines(warning for warning in found if warning.risk is not Risk.DANGER)
    return "".join(f"{line}\n" for line in lines)


def changes_text(found: Sequence[FieldChange]) -> str:
    """A line for each field that changes."""
    if not found:
        return "Nothing to change.\n"
    return f"\n{render(_CHANGES, [_change(change) for change in found])}"


def in_plain(text: str) -> str:
    """A plan's text in ASCII, as far as that is not up to names."""
    return text.translate(_PLAIN)


def warning_lines(found: Iterable[PlanWarning]) -> list[str]:
    """A line for each warning, with how grave it is."""
    return [f"{_RISKS[warning.risk]}{one_line(warning.line)}" for warning in found]


def warning_items(found: Iterable[PlanWarning]) -> list[dict[str, str]]:
    """The same for programs."""
    return [
        {"key": warning.key, "risk": warning.risk.name.lower(), "line": warning.line}
        for warning in found
    ]


def drain_warnings(plan: DrainPlan | None) -> list[PlanWarning]:
    """The minimums that a drain breaks."""
    return [
        PlanWarning(
            "minimum",
            Risk.WARNING,
            f"{broken.fleet} goes below its minimum of {broken.minimum} for {broken.run}:"
            f" {broken.replicas} left.",
        )
        for broken in (plan.broken if plan is not None else ())
    ]


def _offers(plan: Plan) -> str:
    """What the server could start, as far as something starts."""
    found = offers.of_starts(plan)
    if found is None:
        return ""
    if not found:
        return f"{offers.NONE}\n"
    shown, left = offers.lines(found, plan.dry_run.labels if plan.dry_run else {})
    lines = ["  ".join(("", *filter(None, (o.group, o.what, o.rest)))) for o in shown]
    lines += [f"  and {left} more"] if left else []
    return "".join(f"{line}\n" for line in (f"\n{offers.TITLE}", *lines, ""))


def three_way_lines(found: ThreeWay) -> list[str]:
    """A line for each field that somebody else changed, or this change wants to."""
    lines = []
    for row in found.rows:
        base, theirs, mine = row.texts
        text = f"{row.label}: was {base}"
        if row.changed_there:
            text += f", somebody else set it to {theirs}"
        if row.changed_here:
            text += f", this sets it to {mine}"
        lines.append(f"{'CONFLICT ' if row.conflict else ''}{text}")
    return lines


def progress_text(progress: Progress) -> str:
    """One line on how far a change has come."""
    lanes = "  ".join(map(_lane_progress, progress.lanes))
    parts = [f"{progress.elapsed:4.0f} s", lanes, waiting_text(progress), progress.trouble]
    return one_line("   ".join(filter(None, parts)))


def waiting_text(progress: Progress) -> str:
    """What is waited for, or why it failed, as one sentence."""
    *first, last = progress.waiting or ("",)
    return "; ".join([*(text.rstrip(".") for text in first), last])


def end_text(progress: Progress) -> str:
    """How following ended, one or two sentences."""
    why = (waiting_text(progress) or progress.trouble).rstrip(".")
    goes_on = "The change stays applied, and the server goes on with it."
    if progress.state is State.DONE:
        return f"Done after {progress.elapsed:.0f} s."
    if progress.state is State.STILL_WAITING and not progress.waiting and progress.trouble:
        return f"Not known after {progress.elapsed:.0f} s how far it is: {one_line(why)}. {goes_on}"
    if progress.state is State.STILL_WAITING:
        since = f"Not done after {progress.elapsed:.0f} s"
        return f"{since}, still waiting for: {one_line(why)}. {goes_on}"
    if progress.state is State.SUPERSEDED:
        return f"A later change has taken its place after {progress.elapsed:.0f} s."
    return f"It failed after {progress.elapsed:.0f} s: {one_line(why)}."


def plan_item(plan: Plan) -> dict[str, Any]:
    """A plan for programs."""
    base = plan.base
    return {
        "version": VERSION,
        "server": base.target.server,
        "project": base.target.project,
        "service": base.target.name,
        "base": {"id": base.id, "deployment": base.deployment, "read_at": time(base.read_at)},
        "changes": change_items(plan.changes),
        "dry_run": None if plan.dry_run is None else _outlook(plan.dry_run),
        "offers": offer_items(plan.offers),
        "warnings": warning_items(plan.warnings),
    }


def change_items(found: Iterable[FieldChange]) -> list[dict[str, str]]:
    """The fields that change, for programs."""
    return [
        {
            "field": change.name,
            "old": change.old,
            "new": change.new,
            "kind": change.kind.value,
            "note": change.note,
            "source": change.source,
        }
        for change in found
    ]


def offer_items(found: Iterable[PlanOffer]) -> list[dict[str, Any]]:
    """What could be started, for programs."""
    return [
        {
            "group": offer.group,
            "fleet": offer.fleet or None,
            "backend": offer.backend,
            "region": offer.region,
            "instance_type": offer.instance,
            "spot": offer.spot,
            "price_per_hour": optional_number(offer.price),
            "availability": offer.availability,
        }
        for offer in found
    ]


def progress_item(progress: Progress) -> dict[str, Any]:
    """How far a change has come, for programs."""
    return {
        "state": progress.state.value,
        "elapsed_seconds": round(progress.elapsed, 1),
        "lanes": [
            {
                "group": lane.pool or None,
                "fleet": lane.fleet,
                "ready": lane.ready,
                "running": lane.running,
                "starting": lane.starting,
                "stopping": lane.stopping,
                "goal": lane.goal,
            }
            for lane in progress.lanes
        ],
        "waiting": list(progress.waiting),
    }


def _outlook(outlook: DryRun) -> dict[str, Any]:
    return {
        "source": outlook.source.name.lower(),
        "lanes": [
            {
                "group": lane.pool or None,
                "fleet": lane.fleet,
                **lane.lane.values(),
                "now": lane.now,
                "after": lane.after,
                "start": lane.start,
                "stop": lane.stop,
                "enter": lane.enter,
                "leave": lane.leave,
                "deficit": lane.deficit,
                "room": lane.room,
                "cooldown_until": optional_time(lane.cooldown_until),
                "reason": lane.reason,
            }
            for lane in outlook.lanes
        ],
        "replicas": [_replica(row) for row in outlook.replicas],
        "surges": [_replica(row) for row in outlook.surges],
        "price_per_hour": price_item(outlook),
        "unsure": list(outlook.unsure),
        "notes": [str(note) for note in outlook.notes],
    }


def _replica(row: ReplicaOutlook) -> dict[str, Any]:
    return {
        "replica": row.number,
        "group": row.group,
        "new": row.new,
        "fleet": row.fleet,
        "action": row.action,
        "to": row.to,
        "reason": row.reason,
        "why": row.why,
    }


def _change(change: FieldChange) -> tuple[str, ...]:
    note = f", {change.note}" if change.note else ""
    return (change.label, change.old, "→", change.new, f"{change.kind.value}{note}")


def _lane(lane: LaneOutlook, outlook: DryRun) -> tuple[str, ...]:
    moving = f"+{lane.enter}" if lane.enter else ""
    moving += f"-{lane.leave}" if lane.leave else ""
    values = map(lane.lane.value, LANE_COLUMNS)
    first, *rest = (formatting.NOTHING if each is None else str(each) for each in values)
    return (
        first,
        outlook.lane_name(lane),
        *rest,
        str(lane.now),
        str(lane.after),
        _count(lane.start),
        _count(lane.stop),
        moving or formatting.NOTHING,
        lane.reason,
    )


def _count(number: int) -> str:
    return str(number) if number else formatting.NOTHING


def _summary(outlook: DryRun) -> str:
    parts = [
        f"{number} {one if number == 1 else many}"
        for action, many, one in _VERBS
        if (number := outlook.count(action))
    ]
    price = price_text(outlook)
    return f"{', '.join(parts) or 'no replicas'}   {price}   (source: {outlook.source.value})"


def price_text(outlook: DryRun) -> str:
    """`62.10 → 93.15 $/h`, and where no price is known."""
    price = f"{formatting.price(outlook.price_now)} → {formatting.price(outlook.price_after)} $/h"
    if outlook.unpriced:
        price += f" (no price is known in {', '.join(outlook.unpriced)})"
    return price


def price_item(outlook: DryRun) -> dict[str, float | None]:
    """The same for programs."""
    return {
        "now": optional_number(outlook.price_now),
        "after": optional_number(outlook.price_after),
    }


def _lane_progress(lane: LaneProgress) -> str:
    text = f"{lane.name} {lane.ready}/{lane.goal}"
    if lane.starting:
        text += f" +{lane.starting}"
    if lane.stopping:
        text += f" -{lane.stopping}"
    return text
