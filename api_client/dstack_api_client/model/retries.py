"""Whether dstack starts a replica again that has failed, as its service's `retry` says.

The events are dstack's own (0.22.5, `JobTerminationReason.to_retry_event` in
`core/models/runs.py`); without a list of them, `retry` is for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from dstack_api_client.model.replica import Replica
from dstack_api_client.model.service import Service

_INTERRUPTED = "interrupted_by_no_capacity"


class RetryEvent(str, Enum):
    """What `retry` can be for."""

    NO_CAPACITY = "no-capacity"
    INTERRUPTION = "interruption"
    ERROR = "error"


def starts_again(service: Service, event: RetryEvent) -> bool:
    """Whether a service has a `retry` for an event."""
    return is_for(retry_in(service.spec), event)


def retry_in(spec: Mapping[str, Any]) -> Any:
    """The `retry` of a run's spec: of its configuration, or else of its profile."""
    owners = (spec.get("configuration"), spec.get("profile"))
    found = (owner.get("retry") for owner in owners if isinstance(owner, Mapping))
    return next((retry for retry in found if retry is not None), None)


def is_for(retry: Any, event: RetryEvent) -> bool:
    """Whether a `retry` is for an event."""
    if not isinstance(retry, Mapping):
        return bool(retry)
    events = retry.get("on_events")
    return not isinstance(events, list) or event.value in events


def event_of(replica: Replica) -> RetryEvent:
    """What it is for `retry` that a replica failed."""
    if replica.found_no_place:
        return RetryEvent.NO_CAPACITY
    interrupted = replica.termination_reason == _INTERRUPTED
    return RetryEvent.INTERRUPTION if interrupted else RetryEvent.ERROR


def event_of_host(replica: Replica) -> RetryEvent:
    """What it is for `retry` that a replica is lost with its host."""
    return RetryEvent.INTERRUPTION if replica.spot else RetryEvent.ERROR
