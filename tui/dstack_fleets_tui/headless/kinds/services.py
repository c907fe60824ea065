"""`get services`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dstack_api_client.analysis.health import Health, desired_of, lost_parts
from dstack_api_client.analysis.reach import serving_of
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui.headless.kinds.record import Kind
from dstack_fleets_tui.headless.looking import Asked, Look, read_service
from dstack_fleets_tui.names import selection
from dstack_fleets_tui.output.colours import colour, health_colour
from dstack_fleets_tui.output.payload import (
    Item,
    health,
    number,
    optional_number,
    optional_time,
    rebalancing,
    time,
)
from dstack_fleets_tui.output.table import Column
from dstack_fleets_tui.words import words
from dstack_fleets_tui.words.formatting import NOTHING, age, price

COLUMNS = (
    Column("SERVICE"),
    Column("HEALTH", paint=health_colour),
    Column("STATUS", paint=colour),
    Column("PRIO", right=True),
    Column("DESIRED", right=True),
    Column("RUNNING", right=True),
    Column("READY", right=True),
    Column("FLEETS"),
    Column("ROUTER"),
    Column("ROLLOUT", right=True),
    Column("$/H", right=True),
    Column("AGE", right=True),
    Column("URL"),
)


class Known(NamedTuple):
    """A service, and how it is where that can be told."""

    service: Service
    health: Health | None


def _choose(look: Look, asked: Asked) -> list[Known]:
    found = selection.services(look.snapshot, asked.name, ended=asked.ended)
    return [Known(each, look.healths.get(each.id)) for each in found]


def cells(known: Known, snapshot: Snapshot) -> Sequence[str]:
    """One cell per column of `COLUMNS`."""
    service = known.service
    lost = lost_parts(snapshot, service)
    shares = ", ".join(
        f"{share.fleet or 'no fleet yet'} {share.running}"
        + (f"+{share.starting}" if share.starting else "")
        for share in service.shares
        if share.active
    )
    return (
        service.name,
        str(known.health) if known.health is not None else NOTHING,
        service.status,
        str(service.priority),
        words.desired(service, desired_of(snapshot, service)),
        str(service.running),
        str(serving_of(snapshot, service)),
        shares or NOTHING,
        words.router(service, snapshot.routers.get(service.id), lost) or NOTHING,
        words.rollout(service),
        price(service.price or None),
        age(service.submitted_at, snapshot.observed_at),
        service.url or NOTHING,
    )


def item(known: Known, snapshot: Snapshot) -> Item:
    """A service with its replicas by group and by fleet."""
    service = known.service
    counted = snapshot.traffic.get(service.id)
    return {
        "id": service.id,
        "name": service.name,
        "status": service.status,
        "status_message": service.status_message,
        "error": service.error,
        "user": service.user,
        "priority": service.priority,
        "replicas": {
            "min": service.replicas_min,
            "max": service.replicas_max,
            "active": service.active,
            "running": service.running,
            "ready": service.ready,
        },
        "autoscaled": service.autoscaled,
        "groups": [
            {
                "name": group.name,
                "router": group.router,
                "role": group.role,
                "spot_policy": group.spot_policy,
                "reservation": group.reservation,
                "min": group.replicas_min,
                "max": group.replicas_max,
                "active": group.active,
                "running": group.running,
                "ready": group.ready,
            }
            for group in service.groups
        ],
        "fleets": [
            {
                "fleet": share.fleet,
                "running": share.running,
                "ready": share.ready,
                "starting": share.starting,
                "stopping": share.stopping,
                "instances": share.instances,
                "price_per_hour": number(share.price),
            }
            for share in service.shares
        ],
        "assigned_fleet": service.fleet_name,
        "router": service.router,
        "deployment": {"number": service.deployment_num, "replicas": service.at_deployment},
        "rebalancing": rebalancing(snapshot.placements.get(service.id)),
        "price_per_hour": number(service.price),
        "requests_per_second": None if counted is None else number(round(counted.per_second, 3)),
        "seconds_per_request": optional_number(counted.request_time if counted else None),
        "url": service.url,
        "model": service.model,
        "submitted_at": time(service.submitted_at),
        "starts_at": optional_time(service.starts_at),
        "health": health(known.health),
    }


KIND = Kind(
    choose=_choose,
    columns=COLUMNS,
    rows=lambda known, snapshot: [cells(known, snapshot)],
    item=item,
    read=read_service,
    placed=True,
    wide=(
        "requests_per_second",
        "user",
        "model",
        "deployment.number",
        "assigned_fleet",
        "status_message",
        "id",
    ),
)
