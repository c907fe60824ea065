"""Targets: how many replicas each lane has when nothing holds back."""

from __future__ import annotations

from collections.abc import Sequence

from .lane import Lane


def targets(
    lanes: Sequence[Lane], capacity: Sequence[int | None], workers: int, routers: int = 0
) -> list[int]:
    """Replicas per lane: minimums first, then the rest by priority.

    Both steps go through the lanes by priority, then in the order of the list. A lane takes at
    most the smaller of its maximum and its capacity. The sum is what is wanted, or what fits.

    Args:
        lanes: The lanes.
        capacity: Per lane, the replicas it has and can take in all; None is unlimited.
        workers: Replicas desired that count towards minimums.
        routers: Replicas desired that count towards none.

    Returns:
        One number per lane, in the order of `lanes`.
    """
    order = sorted(range(len(lanes)), key=lambda at: -lanes[at].priority)
    target = [0] * len(lanes)
    limits = [
        min((x for x in (lane.max_replicas, room) if x is not None), default=None)
        for lane, room in zip(lanes, capacity, strict=True)
    ]
    left = workers
    for at in order:
        limit = limits[at]
        least = lanes[at].min_replicas
        target[at] = min(left, least if limit is None else min(least, limit))
        left -= target[at]
    left += routers
    for at in order:
        limit = limits[at]
        more = left if limit is None else min(left, limit - target[at])
        target[at] += more
        left -= more
    return target
