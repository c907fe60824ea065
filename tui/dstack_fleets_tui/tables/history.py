"""The deployments that a service has had."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

from dstack_api_client.edits.history.past import PastDeployment
from dstack_api_client.edits.store.audit_log import ChangedField
from dstack_fleets_tui.tables.events import time_of
from dstack_fleets_tui.tables.looks import Looks
from dstack_widgets.panels.findings import Finding
from dstack_widgets.table.cells import Cell, CellValue, Column

#: Deployments that are named below the table; of more there is a mark.
_NAMED = 6

COLUMNS = (
    Column("deployment", "DEPLOYMENT", justify="right", priority=10),
    Column("time", "TIME", priority=9),
    Column("by", "BY", max_width=20, priority=8),
    Column("changed", "CHANGED", min_width=20, max_width=160, priority=9, flexible=True),
    Column("since", "DIFFERS NOW", min_width=12, max_width=80, priority=7, flexible=True),
)


def cells(made: PastDeployment, today: date, looks: Looks) -> Sequence[Cell]:
    """The row of one deployment: one cell per column of `COLUMNS`."""
    return (
        looks.number(made.number, "strong" if made.is_latest else ""),
        CellValue(time_of(made.made_at, today), "dim", made.made_at)
        if made.made_at is not None
        else looks.word(None),
        looks.word(made.made_by),
        looks.word(_changed(made, looks)),
        _differs(made, looks),
    )


def _changed(made: PastDeployment, looks: Looks) -> str:
    """What it changed: with values where they are known, and names alone else."""
    known = made.changes or ()
    with_values = {each.field.partition(" ")[0] for each in known}
    named = (name.removeprefix("configuration.") for name in made.fields)
    others = [name for name in named if name not in with_values]
    if made.number == 0:
        return "submitted"
    return ", ".join([*_texts(known, looks), *others])


def _differs(made: PastDeployment, looks: Looks) -> CellValue:
    if made.is_latest:
        return CellValue("latest", "ok")
    if made.since is None:
        return looks.word(None)
    names = dict.fromkeys(each.field for each in made.since)
    return CellValue(", ".join(names) or "nothing kept", "" if names else "dim")


def _texts(changes: Sequence[ChangedField], looks: Looks) -> Iterator[str]:
    return (f"{each.field} {each.old} {looks.glyphs.arrow} {each.new}" for each in changes)


def summary(made: PastDeployment, looks: Looks) -> str:
    """One line on a deployment: what would change on the way back to it."""
    name = f"deployment {made.number}"
    if made.is_latest:
        return f"{name}  the latest"
    if made.since is None:
        return f"{name}  its spec is not kept here"
    back = [ChangedField(each.field, each.new, each.old) for each in made.since]
    told = ", ".join(_texts(back, looks)) or "nothing that is kept"
    return f"{name}  the way back changes {told}"


def findings(past: Sequence[PastDeployment], looks: Looks) -> list[Finding]:
    """Of which deployments the specs are not kept, and why."""
    lost = [made.number for made in past if not made.is_kept]
    if not lost:
        return []
    numbers = ", ".join(map(str, lost[:_NAMED])) + (
        f", {looks.glyphs.ellipsis}" if len(lost) > _NAMED else ""
    )
    text = (
        f"The spec of deployment {numbers} is not kept here: it was made elsewhere."
        if len(lost) == 1
        else f"The specs of deployments {numbers} are not kept here: they were made elsewhere."
    )
    return [Finding("dim", "", text)]
