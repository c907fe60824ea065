"""How many requests gateways counted for services.

dstack reads it from each gateway for its autoscaler, every 15 s, and keeps it in the memory of each
server. It is taken from there: no gateway is asked, so none that hangs is waited for.
"""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from dstack._internal.core.models.gateways import GatewayReplicaStatus
from dstack._internal.server.models import GatewayModel, GatewayReplicaModel, ProjectModel
from dstack._internal.server.services.gateways.connection import GatewayConnection
from dstack._internal.server.services.gateways.pool import gateway_connections_pool
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from dstack_placement.server.answers import answers

#: Of the windows that gateways count over, that of a minute.
_WINDOW = 60
#: Seconds after which counts are too old that dstack has not read again.
_OLD = 60.0


class GatewayCounts:
    """What connections to gateways hold, as long as dstack reads it again.

    Args:
        monotonic: A clock for durations.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        #: What each connection held last, and since when: dstack puts new counts in their place.
        self._held: WeakKeyDictionary[GatewayConnection, tuple[object, float]] = WeakKeyDictionary()

    def fresh(self, connections: Iterable[GatewayConnection]) -> dict[str, GatewayConnection]:
        """The connections whose counts are no older than a minute or two, by address."""
        now, found = self._monotonic(), {}
        for connection in connections:
            held, since = self._held.get(connection, (None, now))
            if held is not connection.stats:
                since = now
                self._held[connection] = connection.stats, since
            if now - since <= _OLD:
                found[connection.ip_address] = connection
        return found


_counts = GatewayCounts()


async def of_runs(
    session: AsyncSession, project: ProjectModel, runs: Iterable[Any]
) -> list[answers.Traffic]:
    """What is known of services that are behind gateways.

    Args:
        session: The database.
        project: Whose services they are.
        runs: Their ids, names and gateways.
    """
    served = [run for run in runs if run.gateway_id is not None]
    if not served:
        return []
    machines = await _machines(session, {run.gateway_id for run in served})
    connections = _counts.fresh(await gateway_connections_pool.all())
    found = (
        _of_run(run.id, (project.name, run.run_name), machines[run.gateway_id], connections)
        for run in served
    )
    return [each for each in found if each is not None]


async def _machines(
    session: AsyncSession, gateways: Collection[uuid.UUID]
) -> Mapping[uuid.UUID, set[str | None]]:
    """The addresses of the machines that gateways consist of."""
    rows = await session.execute(
        select(GatewayModel.id, GatewayReplicaModel.ip_address)
        .join(
            GatewayReplicaModel,
            or_(
                GatewayReplicaModel.gateway_id == GatewayModel.id,
                GatewayReplicaModel.id == GatewayModel.gateway_replica_id,
            ),
        )
        .where(
            GatewayModel.id.in_(gateways),
            GatewayReplicaModel.status == GatewayReplicaStatus.RUNNING,
            GatewayReplicaModel.deleted.is_(False),
        )
    )
    found: dict[uuid.UUID, set[str | None]] = defaultdict(set)
    for gateway_id, address in rows:
        found[gateway_id].add(address)
    return found


def _of_run(
    run_id: uuid.UUID,
    key: tuple[str, str],
    machines: Collection[str | None],
    connections: Mapping[str, GatewayConnection],
) -> answers.Traffic | None:
    """The sum over all machines of a gateway; None where one of them has told nothing."""
    requests, seconds = 0, 0.0
    for address in machines:
        connection = connections.get(address or "")
        counted = connection.stats.get(key) if connection is not None else None
        if counted is None or _WINDOW not in counted:
            return None
        requests += counted[_WINDOW].requests
        seconds += counted[_WINDOW].requests * counted[_WINDOW].request_time
    if not machines:
        return None
    return answers.Traffic(
        run_id=run_id,
        window=_WINDOW,
        requests=requests,
        request_time=round(seconds / requests, 3) if requests else None,
    )
