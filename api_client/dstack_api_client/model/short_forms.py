"""Values of a fleet as dstack takes them: whole, or in the short forms that people write."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Nodes:
    """How many instances a fleet has."""

    least: int
    target: int
    greatest: int | None


def read_nodes(value: Any) -> Nodes | None:
    """The `nodes` of a fleet: `4`, `"1..4"`, `"2.."`, or a mapping with `min`, `target`, `max`.

    Returns:
        The numbers; None for what is none of these, or not there.
    """
    if isinstance(value, str) and ".." in value:
        first, _, last = value.replace(" ", "").partition("..")
        value = {"min": first or None, "max": last or None}
    elif not isinstance(value, Mapping):
        value = {"min": value, "max": value} if value is not None else None
    if value is None:
        return None
    try:
        low, target, high = (_count(value.get(key)) for key in ("min", "target", "max"))
    except (ValueError, OverflowError):
        return None
    least = low or 0
    return Nodes(least, least if target is None else target, high)


def read_price(value: Any) -> float | None:
    """Dollars per hour, a number or one written as text; None for neither."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        price = float(value)
    except (ValueError, OverflowError):
        return None
    return None if math.isnan(price) else price


def _count(value: Any) -> int | None:
    """A whole number, also as text or with a fraction of nothing.

    Raises:
        ValueError: It is none.
        OverflowError: It is infinite.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError
    number = int(value)
    if isinstance(value, float) and number != value:
        raise ValueError
    return number
