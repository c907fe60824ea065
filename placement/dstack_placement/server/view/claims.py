"""What is shown of replicas that give way to the minimums of other services."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from dstack_placement.engine import Cause, Code, LanePlan, Line, Reclaim
from dstack_placement.server.base.tables import Claim
from dstack_placement.server.state.state import RunState

_FROM = {
    Reclaim.LOWER: "services of lower run priority",
    Reclaim.ANY: "any other service",
}


def with_claims(
    lanes: Iterable[LanePlan], claims: Mapping[tuple[str, str], Claim]
) -> list[LanePlan]:
    """The lanes of a plan, in which those that are short say who gives way to them.

    Args:
        lanes: The lanes.
        claims: The replicas that give way, by pool and fleet.
    """
    shown = []
    for lane in lanes:
        claim = claims.get((lane.pool, lane.fleet))
        if claim is not None and lane.deficit:
            why = replace(lane.why, code=Code.RECLAIMING, causes=(_cause(claim),))
            lane = replace(lane, why=why)
        shown.append(lane)
    return shown


def reclaim_notes(state: RunState) -> list[Line]:
    """From whom the minimums of a run take places, and what of it gives way itself."""
    notes = []
    if state.lanes.reclaim in _FROM:
        text = f"In a full fleet, its minimums take places from {_FROM[state.lanes.reclaim]}."
        notes.append(Line(text, Code.RECLAIM, field="reclaim"))
    for row in sorted(state.gives.values(), key=lambda row: row.replica_num):
        text = (
            f"Replica {row.replica_num} gives way to {row.for_run_name}, which is below its minimum"
            f" in {row.fleet}: it moves to {row.to}."
        )
        notes.append(Line(text, Code.GIVES_WAY))
    return notes


def _cause(claim: Claim) -> Cause:
    who = f"replica {claim.row.replica_num} of {claim.row.run_name}"
    if claim.freed:
        return Cause(Code.RECLAIMING, detail=f"being restored, {who} gave way")
    to = claim.row.to
    return Cause(Code.RECLAIMING, detail=f"being restored, {who} gives way and moves to {to}")


def gave_way(claim: Claim | None) -> str:
    """Who gave way for what goes to a lane now, after the reason; empty where nobody did."""
    if claim is None or not claim.freed:
        return ""
    return f"; replica {claim.row.replica_num} of {claim.row.run_name} gave way"
