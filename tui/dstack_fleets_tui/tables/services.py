"""The list of services."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.cells import cell_len
from textual.content import Content

from dstack_api_client.analysis.health import Health
from dstack_api_client.model.labels import in_text, labels_of
from dstack_api_client.model.placement import Placement
from dstack_api_client.model.roles import named
from dstack_api_client.model.router import RouterStatus, RouterView
from dstack_api_client.model.service import Service
from dstack_api_client.problems.model import Problem, Severity
from dstack_fleets_tui.tables import health, trends
from dstack_fleets_tui.tables.looks import Looks
from dstack_fleets_tui.words import words
from dstack_fleets_tui.words.formatting import span
from dstack_widgets.drawing.bars import Share, share_bar
from dstack_widgets.drawing.glyphs import Glyphs
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal
from dstack_widgets.table.cells import Cell, Column

#: Cells of the bar of fleets.
_BAR = 6
#: Where replicas stand that have no fleet.
_NO_FLEET = "no fleet yet"
#: Letters of a fleet's name that are left at least.
_LETTERS = 2

COLUMNS = (
    Column("service", "SERVICE", min_width=8, max_width=30, priority=10, names=True),
    Column("health", "HEALTH", priority=10),
    Column("problems", "PROB", justify="right", priority=9),
    Column("wanted", "DESIRED", justify="right", priority=7),
    Column("running", "RUN", justify="right", priority=5),
    Column("ready", "READY", justify="right", priority=10),
    trends.column("trend", "READY 30 MIN", 4),
    Column("fleets", "FLEETS", min_width=24, max_width=60, priority=10, flexible=True),
    Column("router", "ROUTER", min_width=9, max_width=24, priority=8, flexible=True),
    Column("status", "STATUS", priority=4),
    Column("rollout", "ROLLOUT", justify="right", priority=5),
    Column("priority", "PRIO", justify="right", priority=3),
    Column("price", "$/H", justify="right", priority=6),
    trends.column("price_trend", "$/H 30 MIN", 2),
    Column("age", "AGE", justify="right", priority=5),
    Column("url", "URL", priority=1, max_width=60),
    # What is shortened is found by the filter all the same.
    Column("fleet_names", "FLEET NAMES", hidden=True),
)


class Known(NamedTuple):
    """What is known of a service beside itself.

    Attributes:
        desired: Replicas that it should have now.
        serving: Replicas that are ready and can be reached.
        placement: What the add-on tells of it.
        health: How it is, where that can be told.
        router: Its router, where that was looked at.
        problems: What is wrong with it.
        trend: How much of it was ready.
        price_trend: What it cost.
        lost: The parts of a request that no worker takes.
    """

    desired: int = 0
    serving: int = 0
    placement: Placement | None = None
    health: Health | None = None
    router: RouterView | None = None
    problems: Sequence[Problem] = ()
    trend: Cell = ""
    price_trend: Cell = ""
    lost: Sequence[str] = ()


def cells(service: Service, looks: Looks, known: Known | None = None) -> Sequence[Cell]:
    """The row of one service: one cell per column of `COLUMNS`."""
    known = Known() if known is None else known
    placement = known.placement
    rolling = words.rolling(service)
    moving = placement is not None and placement.rebalancing_since is not None
    short = known.serving < known.desired
    return (
        looks.text(service.name, "bad" if service.status == "failed" else ""),
        health.cell(known.health, looks),
        _problems(known.problems, looks),
        looks.text(words.desired(service, known.desired), sort=known.desired),
        looks.number(service.running),
        looks.number(known.serving, "warn" if short else "ok" if known.desired else "dim"),
        known.trend,
        _distribution(service, looks),
        _router(service, known, looks),
        looks.state(service.status),
        looks.text(
            "rebalancing" if moving and not rolling else words.rollout(service),
            "warn" if rolling or moving else "",
            service.deployment_num,
        ),
        looks.number(service.priority),
        looks.price(service.price),
        known.price_trend,
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


def _router(service: Service, known: Known, looks: Looks) -> Cell:
    """Its kind and how it is; a part of each request that no worker takes is loud."""
    view = known.router
    loud = "warn" if known.lost else ""
    if view is not None:
        loud = _ROUTER.get(view.status, loud or ("warn" if view.ready < view.expected else ""))
    cell = looks.word(words.router(service, view, known.lost), loud)
    return cell._replace(shorter=_Lost(known.lost, loud)) if known.lost else cell


@dataclass(frozen=True, slots=True)
class _Lost:
    """Says in less room of a router why requests fail, and not what it says of itself."""

    lost: Sequence[str]
    style: str

    def __call__(self, room: int) -> Content:
        """`no prefill worker`, or `no prefill`."""
        whole = named(self.lost)
        said = whole if cell_len(whole) <= room else named(self.lost, briefly=True)
        return literal(said, style_of(self.style))


def _problems(found: Sequence[Problem], looks: Looks) -> Cell:
    """How many there are, as loud as the worst of them."""
    worst = max((problem.severity for problem in found), default=None)
    style = {Severity.CRITICAL: "bad", Severity.WARNING: "warn"}.get(worst, "dim") if worst else ""
    text = words.problems(found)
    return looks.text(text, style, len(found)) if text else looks.word(None)


def _distribution(service: Service, looks: Looks) -> Cell:
    parts, glyphs = shares(service), looks.glyphs
    # A bar of one part says nothing.
    bar = share_bar(parts, width=_BAR if len(parts) > 1 else 0, glyphs=glyphs)
    shorter = _Shorter(parts, glyphs) if len(parts) > 1 else None
    return looks.bar(bar, service.active, shorter)


@dataclass(frozen=True, slots=True)
class _Shorter:
    """Says in less room how a service is spread.

    A value, so that cells that would look the same are the same.
    """

    parts: Sequence[Share]
    glyphs: Glyphs

    def __call__(self, room: int) -> Content:
        """Without a bar, with names so short that counts have room: `spot 5 · res 1 · cpu 1`."""
        ends = [
            part.name.rpartition("-")[2] if part.name != _NO_FLEET else "none"
            for part in self.parts
        ]
        names = [
            end if ends.count(end) == 1 else part.name
            for part, end in zip(self.parts, ends, strict=True)
        ]
        found = share_bar(self.parts, glyphs=self.glyphs)
        longest = max(map(len, names))
        while found.cell_length > room and longest >= _LETTERS:
            short = [
                part._replace(name=name[:longest])
                for part, name in zip(self.parts, names, strict=True)
            ]
            found = share_bar(short, glyphs=self.glyphs)
            longest -= 1
        return found


def shares(service: Service) -> list[Share]:
    """Per fleet: its name, running replicas and starting ones."""
    return [
        Share(share.fleet or _NO_FLEET, share.running, share.starting)
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
        f"{in_text(labels[group.name])} {group.running}"
        f"/{span(group.replicas_min, group.replicas_max)}"
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
        words.next_start(service),
        service.url or "",
    ]
    return "  ".join(part for part in parts if part)
