"""The deployments of a service side by side."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from textual.content import Content

from dstack_api_client.analysis.rollout import Deployment, Rollout
from dstack_fleets_tui.tables.looks import Looks
from dstack_fleets_tui.words.formatting import age, length
from dstack_widgets.drawing.bars import Filling, filled_bar, ratio
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal
from dstack_widgets.panels.findings import Finding
from dstack_widgets.table.cells import Cell, CellValue, Column

#: Cells of the bar of a deployment, and of that of the progress.
_BAR, _PROGRESS = 24, 12

COLUMNS = (
    Column("deployment", "DEPLOYMENT", justify="right", priority=10),
    Column("replicas", "REPLICAS", width=_BAR, priority=5),
    Column("running", "RUNNING", justify="right", priority=9),
    Column("ready", "READY", justify="right", priority=9),
    Column("pending", "PENDING", justify="right", priority=8),
    Column("stopping", "STOPPING", justify="right", priority=7),
    Column("since", "SINCE", justify="right", priority=6),
)


def cells(deployment: Deployment, rollout: Rollout, looks: Looks) -> Sequence[Cell]:
    """The row of one deployment: one cell per column of `COLUMNS`."""
    latest = deployment.number == rollout.number
    scale = max(rollout.total, *(_replicas(each) for each in rollout.deployments), 1)
    filling = Filling(
        deployment.serving,
        deployment.running - deployment.serving,
        deployment.pending,
        deployment.stopping,
    )
    short = deployment.serving < deployment.running
    return (
        looks.number(deployment.number, "strong" if latest else "warn"),
        looks.bar(filled_bar(filling, scale, _BAR, looks.glyphs), _replicas(deployment)),
        looks.number(deployment.running),
        looks.number(
            deployment.serving, "warn" if short else "ok" if deployment.serving else "dim"
        ),
        _count(deployment.pending, "starting", looks),
        _count(deployment.stopping, "ending", looks),
        looks.age(_since(deployment, rollout)),
    )


def _since(deployment: Deployment, rollout: Rollout) -> datetime | None:
    """When a deployment began: replicas that an edit only gave a new number are older than it."""
    return rollout.since if deployment.number == rollout.number else deployment.since


def _replicas(deployment: Deployment) -> int:
    return deployment.running + deployment.pending + deployment.stopping


def _count(number: int, style: str, looks: Looks) -> CellValue:
    return looks.number(number, style) if number else CellValue(looks.glyphs.dash, "dim", 0)


def head(rollout: Rollout, looks: Looks) -> list[Content]:
    """The line above the deployments: how far, and how long it has taken."""
    parts = [
        literal("deployment ", style_of("dim")) + literal(str(rollout.number), style_of("strong")),
        ratio(rollout.at_latest, rollout.total, _PROGRESS, looks.glyphs) + literal(" replicas"),
    ]
    if rollout.under_way:
        took = f" for {age(rollout.since, looks.now)}" if rollout.since else ""
        parts.append(literal(f"under way{took}", style_of("starting")))
    elif rollout.finished_at is not None:
        text = f"complete, for {age(rollout.finished_at, looks.now)}"
        if rollout.since is not None:
            text += f", it took {length(rollout.finished_at - rollout.since)}"
        parts.append(literal(text, style_of("ok")))
    elif rollout.total:
        parts.append(literal("every replica is at it", style_of("ok")))
    return parts


def findings(rollout: Rollout, looks: Looks) -> list[Finding]:
    """What the rollout waits for, with how long it has."""
    said = []
    for holdup in rollout.holdups:
        since = f" (for {age(holdup.since, looks.now)})" if holdup.since else ""
        said.append(Finding("warn", "", holdup.text + since))
    return said


def summary(deployment: Deployment, rollout: Rollout) -> str:
    """One line on a deployment."""
    which = "the latest" if deployment.number == rollout.number else "being replaced"
    since = _since(deployment, rollout)
    began = f"since {since.astimezone():%Y-%m-%d %H:%M:%S}" if since else ""
    return "  ".join(part for part in (f"deployment {deployment.number}", which, began) if part)
