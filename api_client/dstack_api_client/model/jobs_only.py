"""Backends that start an instance for a job, and none ahead of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from dstack_api_client.model.labels import listed

#: Whatever a fleet's minimum is: in dstack 0.22.5 those whose `Compute` can't create instances.
_BACKENDS = frozenset({"daytona", "kubernetes", "lium", "runpod", "slurm", "vastai"})


def with_jobs_only(backends: Collection[str]) -> bool:
    """Whether all backends that a fleet may use are such; False where none is known."""
    return bool(backends) and _BACKENDS.issuperset(backends)


def jobs_only_line(backends: Sequence[str]) -> str:
    """`kubernetes starts instances with jobs only`."""
    verb = "starts" if len(backends) == 1 else "start"
    return f"{listed(backends)} {verb} instances with jobs only"


def no_minimum_line(greatest: int | None) -> str:
    """What a minimum does there, and what to write for it."""
    most = "" if greatest is None else greatest
    return f"A minimum has no effect there; write `nodes: 0..{most}`."
