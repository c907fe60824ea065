"""How projects are named where several may be: `a,b` or `all`."""

from __future__ import annotations

from collections.abc import Sequence

#: What names all projects of dstack's configuration.
ALL = "all"


def offered(names: Sequence[str], typed: str) -> list[str]:
    """What may stand where several projects can be named, once some of it is typed.

    Args:
        names: The projects of dstack's configuration.
        typed: What is typed: behind a comma, one that is not named before may follow.
    """
    before, comma, _ = typed.rpartition(",")
    if comma:
        taken = before.split(",")
        return [f"{before},{name}" for name in names if name not in taken]
    return [*dict.fromkeys([*names, ALL])] if len(names) > 1 else [*names]
