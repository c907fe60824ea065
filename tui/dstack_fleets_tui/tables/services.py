"""The list of services."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from textual.content import Content

from dstack_api_client.analysis.health import Health
from dstack_api_client.model.labels import labels_of
from dstack_api_client.model.placement import Placement
from dstack_api_client.model.roles import without_workers
from dstack_api_client.model.router import RouterStatus, RouterView
from dstack_api_client.model.service import Service
from dstack_api_client.problems.model import Problem, Severity
from dstack_fleets_tui.tables import health, trends
from dstack_fleets_tui.tables.looks import Looks
from dstack_fleets_tui.words import words
from dstack_fleets_tui.words.formatting import span
from dstack_widgets.drawing.bars import Share, share_bar
from dstack_widgets.table.cells import Cell, Column

#: Cells of the bar of fleets.
_BAR = 6
#: Cells that the fleets have where there is no room for a bar.
_NARROW = 22

COLUMNS = (
    Column("service", "SERVICE", min_width=8, max_width=30, priority=10, names=True),
    Column("health", "HEALTH", priority=10),
    Column("problems", "PROB", justify="right", priority=9),
    Column("wanted", "DESIRED", justify="right", priority=7),
    Column("running", "RUN", justify="right", priority=5),
    Column("ready", "READY", justify="right", priority=10),
    trends.column("trend", "READY 30 MIN", 4),
    Column("fleets", "FLEETS", min_width=20, max_width=60, priority=10, flexible=True),
    Column("router", "ROUTER", priority=8, max_width=24),
    Column("status", "STATUS", priority=4),
    Column("rollout", "ROLLOUT", justify="right", priority=5),
    Column("priority", "PRIO", justify="right", priority=3),
    Column("price", "$/H", justify="right", priority=6),
    Column("age", "AGE", justify="right", priority=5),
    Column("url", "URL", priority=1, max_width=60),
    # What is shortened is found by the filter all the same.
    Column("fleet_names", "FLEET NAMES", hidden=True),
)


class Known(NamedTuple):
    """What is known of a service beside itself.

    Attributes:
        desired: Replicas that it should have now.
        placement: What the add-on tells of it.
        health: How it is, where that can be told.
        router: Its router, where that was looked at.
        problems: What is wrong with it.
        bar: Whether there is room to draw how it is spread.
        trend: How much of it was ready.
    """

    desired: int = 0
    placement: Placement | None = None
    health: Health | None = None
    router: RouterView | None = None
    problems: Sequence[Problem] = ()
    bar: bool = True
    trend: Cell = ""


def cells(service: Service, looks: Looks, known: Known | None = None) -> Sequence[Cell]:
    """The row of one service: one cell per column of `COLUMNS`."""
    known = Known() if known is None else known
    placement = known.placement
    rolling = words.rolling(service)
    moving = placement is not None and placement.rebalancing_since is not None
    short = service.ready < known.desired
    return (
        looks.text(service.name, "bad" if service.status == "failed" else ""),
        health.cell(known.health, looks),
        _problems(known.problems, looks),
        looks.text(words.desired(service, known.desired), sort=known.desired),
        looks.number(service.running),
        looks.number(service.ready, "warn" if short else "ok" if known.desired else "dim"),
        known.trend,
        looks.bar(_distribution(service, looks, bar=known.bar), service.active),
        _router(service, known.router, looks),
        looks.state(service.status),
        looks.text(
            "rebalancing" if moving and not rolling else words.rollout(service),
            "warn" if rolling or moving else "",
            service.deployment_num,
        ),
        looks.number(service.priority),
        looks.price(service.price),
        looks.age(service.submitted_at),
        looks.word(service.url),
        " ".join(share.fleet or "" for share in service.shares),
    )


def made_of(service: Service, looks: Looks, known: Known) -> tuple[object, ...]:
    """All that `cells` makes of the same arguments, for `KeptRows`."""
    return (service, known, looks.age(service.submitted_at), looks.glyphs)


#: Styles of a router's status that is loud in a list.
_ROUTER = {
    RouterStatus.DOWN: "bad",
    RouterStatus.NOT_READY: "bad",
    RouterStatus.REFUSES: "warn",
}


def _router(service: Service, view: RouterView | None, looks: Looks) -> Cell:
    """Its kind and how it is; a part of each request that no worker takes is loud."""
    loud = "warn" if without_workers(service) else ""
    if view is not None:
        loud = _ROUTER.get(view.status, loud or ("warn" if view.ready < view.expected else ""))
    return looks.word(words.router(service, view), loud)


def _problems(found: Sequence[Problem], looks: Looks) -> Cell:
    """How many there are, as loud as the worst of them."""
    worst = max((problem.severity for problem in found), default=None)
    style = {Severity.CRITICAL: "bad", Severity.WARNING: "warn"}.get(worst, "dim") if worst else ""
    text = words.problems(found)
    return looks.text(text, style, len(found)) if text else looks.word(None)


def _distribution(service: Service, looks: Looks, *, bar: bool) -> Content:
    parts = shares(service)
    if not bar:
        return share_bar(_shortened(parts), glyphs=looks.glyphs)
    # A bar of one part says nothing.
    return share_bar(parts, width=_BAR if len(parts) > 1 else 0, glyphs=looks.glyphs)


def _shortened(parts: Sequence[Share]) -> list[Share]:
    """With names so short that the counts of all have room: `spot 5 · res 1 · cpu 1`."""
    if len(parts) < 2:
        return list(parts)
    ends = [part.name.rpartition("-")[2] for part in parts]
    room = max(3, (_NARROW - 3 * (len(parts) - 1)) // len(parts) - 2)
    return [
        part._replace(name=(end if ends.count(end) == 1 else part.name)[:room])
        for part, end in zip(parts, ends, strict=True)
    ]


def shares(service: Service) -> list[Share]:
    """Per fleet: its name, running replicas and starting ones."""
    return [
        Share(share.fleet or "no fleet yet", share.running, share.starting)
        for share in service.shares
        if share.active
    ]


def distribution(service: Service) -> str:
    """`gpu-reserved 4, gpu-spot 5 and 1 starting`: replicas per fleet in words."""
    return ", ".join(
        f"{name} {running}" + (f" and {starting} starting" if starting else "")
        for name, running, starting in shares(service)
    )


def groups(service: Service) -> str:
    """`router 1/1 (smg), decode 5/2..8`: running of wanted per group, where groups have names."""
    labels = labels_of(service.groups)
    if not labels:
        return ""
    return ", ".join(
        f"{labels[group.name]} {group.running}/{span(group.replicas_min, group.replicas_max)}"
        + (f" ({group.router})" if group.router else "")
        for group in service.groups
    )


def summary(service: Service) -> str:
    """One line on what the service is, for below the list."""
    message = service.error or service.status_message
    parts = [
        service.name,
        groups(service),
        f"model {service.model}" if service.model else "",
        f"by {service.user}",
        message if message != service.status else "",
        service.url or "",
    ]
    return "  ".join(part for part in parts if part)
