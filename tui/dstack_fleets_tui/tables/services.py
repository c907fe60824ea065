"""The list of services."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from dstack_api_client.model.labels import labels_of
from dstack_api_client.model.placement import Placement
from dstack_api_client.model.roles import without_workers
from dstack_api_client.model.service import Service
from dstack_fleets_tui import words
from dstack_fleets_tui.formatting import span
from dstack_fleets_tui.tables.looks import Looks
from dstack_widgets.bars import Share, share_bar
from dstack_widgets.cells import Cell, Column

#: Cells of the bar of fleets.
_BAR = 6

COLUMNS = (
    Column("service", "SERVICE", min_width=8, max_width=30, priority=10, names=True),
    Column("status", "STATUS", priority=9),
    Column("wanted", "DESIRED", justify="right", priority=8),
    Column("running", "RUN", justify="right", priority=8),
    Column("ready", "READY", justify="right", priority=8),
    Column("fleets", "FLEETS", min_width=20, max_width=60, priority=8, flexible=True),
    Column("router", "ROUTER", priority=4),
    Column("rollout", "ROLLOUT", justify="right", priority=5),
    Column("priority", "PRIO", justify="right", priority=3),
    Column("price", "$/H", justify="right", priority=6),
    Column("age", "AGE", justify="right", priority=5),
    Column("url", "URL", priority=1, max_width=60),
)


def cells(service: Service, looks: Looks, placement: Placement | None = None) -> Sequence[Cell]:
    """The row of one service: one cell per column of `COLUMNS`."""
    rolling = words.rolling(service)
    moving = placement is not None and placement.rebalancing_since is not None
    wanted = words.replicas_wanted(service, placement)
    short = service.ready < wanted
    return (
        looks.text(service.name, "bad" if service.status == "failed" else ""),
        looks.state(service.status),
        looks.text(words.wanted(service, placement), sort=wanted),
        looks.number(service.running),
        looks.number(service.ready, "warn" if short else "ok" if wanted else "dim"),
        looks.bar(_distribution(service, looks), service.active),
        _router(service, looks),
        looks.text(
            "rebalancing" if moving and not rolling else words.rollout(service),
            "warn" if rolling or moving else "",
            service.deployment_num,
        ),
        looks.number(service.priority),
        looks.price(service.price),
        looks.age(service.submitted_at),
        looks.word(service.url),
    )


def _router(service: Service, looks: Looks) -> Cell:
    """Its kind; a part of each request that no worker takes is loud."""
    return looks.word(words.router(service), "warn" if without_workers(service) else "")


def _distribution(service: Service, looks: Looks) -> Content:
    parts = shares(service)
    # A bar of one part says nothing.
    return share_bar(parts, width=_BAR if len(parts) > 1 else 0, glyphs=looks.glyphs)


def counts(service: Service) -> str:
    """`desired 3 of 2..6, running 3, ready 2`."""
    wanted = words.wanted(service)
    return f"desired {wanted}, running {service.running}, ready {service.ready}"


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
