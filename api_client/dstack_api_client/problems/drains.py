"""Replicas that were stopped before their requests had ended."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from dstack_api_client.analysis.moment import Moment
from dstack_api_client.analysis.since import Since
from dstack_api_client.model.service import Service
from dstack_api_client.problems.model import Kind, Problem, Severity

#: How long it is shown.
_SHOWN = timedelta(hours=1)


def drains_cut(service: Service, time: Moment, since: Since) -> Iterator[Problem]:
    """Replicas of a service that ran into the limit of their drain not long ago.

    Args:
        service: The service.
        time: The time.
        since: What events told.
    """
    cut = {
        number: (at, message)
        for (run_id, number), (at, message) in since.drain_cuts.items()
        if run_id == service.id and not time.past(at, _SHOWN)
    }
    if not cut:
        return
    _, latest = max(cut.values())
    others = len(cut) - 1
    before = f", and {others} more within the hour" if others else ""
    yield Problem(
        key=f"drain:{service.id}",
        kind=Kind.SERVICE,
        severity=Severity.WARNING,
        subject=service.name,
        text=f"{latest[0].lower()}{latest[1:]}{before}",
        hint="Give the service a longer `drain`, or clients shorter requests.",
        since=min(at for at, _ in cut.values()),
        service_id=service.id,
        view="replicas",
    )
