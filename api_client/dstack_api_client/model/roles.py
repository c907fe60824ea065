"""The parts that a disaggregated service needs workers for, and what is when one has none."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from dstack_api_client.model.engines import REGULAR, ROLES
from dstack_api_client.model.service import Group


def roles_of(groups: Iterable[Group]) -> frozenset[str]:
    """What the groups of a service do, as their commands tell."""
    return frozenset(group.role for group in groups if group.role is not None)


def lacking(needed: Collection[str], served: Collection[str]) -> tuple[str, ...]:
    """The parts that no worker plays while others are played.

    Args:
        needed: What the groups do.
        served: What workers do that can take requests.
    """
    if not served:
        return ()
    return tuple(role for role in ROLES if role in needed and role not in served)


def consequence(lacked: Collection[str], needed: Collection[str]) -> str:
    """What becomes of requests while parts have no worker: `every request fails`.

    Args:
        lacked: The parts, by `lacking`.
        needed: What the groups do.
    """
    if REGULAR in needed:
        return "requests that need one fail"
    if not every_request_fails(lacked, needed):
        return "requests with images, video or audio fail"
    return "every request fails"


def every_request_fails(lacked: Collection[str], needed: Collection[str]) -> bool:
    """Whether nothing can be answered while parts have no worker.

    Args:
        lacked: The parts, by `lacking`.
        needed: What the groups do.
    """
    return REGULAR not in needed and set(lacked) != {"encode"}


def named(lacked: Iterable[str], *, briefly: bool = False) -> str:
    """`no prefill and no decode worker`; without the last word where it is said briefly."""
    roles = " and ".join(f"no {role}" for role in lacked)
    return roles if briefly else f"{roles} worker"


def beside_the_count(lost: Iterable[str], lacking: Collection[str]) -> str:
    """`no prefill worker`, where a router's count of ready workers stands beside it.

    Args:
        lost: The parts that no worker plays.
        lacking: Those for which the router itself has no ready worker. It may still call one ready
            that dstack can't reach.
    """
    lost = tuple(lost)
    return named(lost) if set(lost) <= set(lacking) else f"{named(lost)} can be reached"
