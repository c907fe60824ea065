"""How the replicas of a group are bought, and which groups of a service are its baseline."""

from __future__ import annotations

from collections.abc import Sequence

from dstack_api_client.model.replica import Replica
from dstack_api_client.model.service import Group, Service

ON_DEMAND, SPOT, AUTO = "on-demand", "spot", "auto"
#: What a replica is whose group starts in a reservation.
RESERVED = "reserved"
_EITHER = "spot or on-demand"
#: The backend of SSH hosts, which nobody buys by the hour.
_REMOTE = "remote"


def purchase_of(group: Group) -> str:
    """`spot`, `on-demand, reservation cr-1`, `spot or on-demand`: what is in force for a group."""
    policy = _EITHER if group.spot_policy == AUTO else group.spot_policy
    return f"{policy}, reservation {group.reservation}" if group.reservation else policy


def differ(groups: Sequence[Group]) -> bool:
    """Whether the groups of a service are not all bought alike, so that each has to say how."""
    return len({(group.spot_policy, group.reservation) for group in groups}) > 1


def is_told(groups: Sequence[Group]) -> bool:
    """Whether a spec says anything of how its replicas are bought."""
    return any(group.reservation or group.spot_policy != ON_DEMAND for group in groups)


def replica_purchase(replica: Replica) -> str | None:
    """`reserved`, `spot` or `on-demand`: how a replica was bought; None where that is not known.

    Of one without an instance it is how it is to be bought, maybe `spot or on-demand`.
    """
    if replica.backend == _REMOTE:
        return None
    if replica.spot:
        return SPOT
    if replica.reservation:
        return RESERVED
    if replica.spot is None and not replica.has_place:
        return _EITHER if replica.asked == AUTO else replica.asked
    return None if replica.spot is None else ON_DEMAND


def baselines(service: Service) -> frozenset[str]:
    """The groups that are to be there whatever becomes of spot capacity.

    They are on demand or in a reservation while another group, which does the same, may be on
    spot: what that one has is overflow.
    """
    workers = [group for group in service.groups if group.router is None]
    overflow = {group.role for group in workers if not _is_firm(group)}
    return frozenset(
        group.name
        for group in workers
        if _is_firm(group) and group.replicas_min and group.role in overflow
    )


def _is_firm(group: Group) -> bool:
    return group.reservation is not None or group.spot_policy == ON_DEMAND
