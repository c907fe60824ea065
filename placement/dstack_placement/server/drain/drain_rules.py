"""What a service's spec says of replicas that are to stop, read once in each version of it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from dstack._internal.core.models.common import validate_json_extra_ignore
from dstack._internal.core.models.configurations import ServiceConfiguration
from dstack._internal.core.models.routers import RouterType
from dstack._internal.core.models.runs import RunSpec
from dstack._internal.server.models import RunModel
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from dstack_placement.server.base.kept import Kept
from dstack_placement.server.runs import specs


@dataclass(frozen=True, slots=True)
class DrainRules:
    """What holds for the replicas of a run.

    Attributes:
        limits: By group, how long a replica may take; nothing for one that is stopped at once.
        other_limit: The same for a group that an edit took away.
        router_group: The group of the router; None without one.
    """

    limits: Mapping[str, timedelta]
    other_limit: timedelta
    router_group: str | None

    def limit(self, group: str) -> timedelta:
        """How long a replica of a group may take."""
        return self.limits.get(group, self.other_limit)


#: A spec is a large text that seldom changes, and a drain is looked at every few seconds.
_known: Kept[uuid.UUID, DrainRules] = Kept(4 * 1024 * 1024)


async def rules_of(session: AsyncSession, run_id: uuid.UUID) -> DrainRules:
    """The rules of a run; those of what is not a service stop it at once.

    Args:
        session: The session to read in.
        run_id: The run's id.
    """
    about = select(RunModel.deployment_num, func.length(RunModel.run_spec))
    version = tuple((await session.execute(about.where(RunModel.id == run_id))).one())
    rules = _known.get(run_id, version)
    if rules is None:
        text = await session.scalar(select(RunModel.run_spec).where(RunModel.id == run_id))
        rules = _read(str(text))
        _known.put(run_id, version, rules, 500 + 4 * len(repr(rules)))
    return rules


def _read(text: str) -> DrainRules:
    configuration = validate_json_extra_ignore(RunSpec, text).configuration
    if not isinstance(configuration, ServiceConfiguration):
        return DrainRules({}, timedelta(0), None)
    groups = configuration.replica_groups
    routers = {str(group.name): group.router for group in groups if group.router is not None}

    def limit(group: str) -> timedelta:
        # A worker's router that can't be told to leave it alone: its process does that.
        if any(each.type is not RouterType.SMG for name, each in routers.items() if name != group):
            return timedelta(0)
        return specs.drain_of(configuration, group)

    limits = {str(group.name): limit(str(group.name)) for group in groups}
    return DrainRules(limits, limit(""), next(iter(routers), None))
