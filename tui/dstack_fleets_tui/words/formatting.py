"""Numbers, times and prices as the screens and the tables write them."""

from __future__ import annotations

from datetime import datetime, timedelta

#: Stands where there is nothing to show.
NOTHING = "–"


def age(since: datetime | None, now: datetime) -> str:
    """Writes how long ago something was, in its largest unit: `42s`, `5m`, `3h`, `12d`."""
    if since is None:
        return NOTHING
    return length(now - since)


def next_age(since: datetime, now: datetime) -> datetime:
    """When `age` writes something else."""
    seconds = max(0, int((now - since).total_seconds()))
    size = next((size for size in (86400, 3600, 60) if seconds >= size), 1)
    return since + timedelta(seconds=(seconds // size + 1) * size)


def length(span: timedelta) -> str:
    """Writes a length of time in its largest unit; below zero (clocks differ) is `0s`."""
    seconds = max(0, int(span.total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def price(dollars: float | None) -> str:
    """Writes dollars per hour with two digits; small prices with four, none as a dash."""
    if dollars is None:
        return NOTHING
    if 0 < dollars < 0.1:
        return f"{dollars:,.4f}"
    return f"{dollars:,.2f}"


def span(low: int | None, high: int | None) -> str:
    """Writes a range of counts: `4`, `2..4`, `0..`."""
    if low is None and high is None:
        return NOTHING
    if low == high:
        return str(low)
    return f"{low or 0}..{'' if high is None else high}"


def count(number: float) -> str:
    """Writes a count that may be a fraction (a share of an instance's GPUs)."""
    return f"{number:.1f}".removesuffix(".0")


def rate(number: float) -> str:
    """Writes how many there are per second: `0.05`, `3.2`, `41`."""
    if 0 < number < 1:
        return f"{number:.2f}"
    return f"{number:.0f}" if number >= 10 else count(number)


def seconds(number: float) -> str:
    """Writes how long something takes: `0.041 s`, `0.41 s`, `4.1 s`, `41 s`."""
    digits = 3 if number < 0.1 else 2 if number < 1 else 1 if number < 10 else 0
    return f"{number:.{digits}f} s"


def mebibytes(amount: int) -> str:
    """Writes MiB as GB the way dstack does: 81920 is `80GB`."""
    return f"{amount / 1024:.1f}".removesuffix(".0") + "GB"
