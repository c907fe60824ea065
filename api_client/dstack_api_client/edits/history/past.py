"""The deployments of a service: who made them, what changed, and what is known of their specs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dstack_api_client import sentences
from dstack_api_client.edits.base.difference import shown
from dstack_api_client.edits.spec import fields
from dstack_api_client.edits.store.audit_log import ChangedField
from dstack_api_client.edits.store.deployments import KeptSpec, changes, spec_of
from dstack_api_client.events.stream import Event
from dstack_api_client.model.labels import counted
from dstack_api_client.model.service import Service
from dstack_api_client.text import one_line

#: The newest deployments that are told of.
_MOST = 200


@dataclass(frozen=True, slots=True)
class PastDeployment:
    """One deployment of a service.

    Attributes:
        number: Its number.
        event: What tells who made it and when; None where the server has it no more.
        changes: What it changed, as far as that may be kept; None where its spec or the one before
            is not kept.
        since: What has changed since; None where its spec is not kept.
        is_latest: Whether it is the latest.
        made_by: Who made it; None where that is not known.
        made_at: When it was made; None where that is not known.
    """

    number: int
    event: Event | None
    changes: tuple[ChangedField, ...] | None
    since: tuple[ChangedField, ...] | None
    is_latest: bool
    made_by: str | None = None
    made_at: datetime | None = None

    @property
    def is_kept(self) -> bool:
        """Whether its spec is known, so that one can go back to it."""
        return self.since is not None

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that it changed, as the server names them."""
        return sentences.told(self.event.message).fields if self.event is not None else ()


def past_deployments(
    service: Service, events: Iterable[Event], kept: Mapping[int, KeptSpec]
) -> Sequence[PastDeployment]:
    """The deployments of a service, the newest first.

    Args:
        service: The service.
        events: Events of its run.
        kept: Specs by deployment.
    """
    made = {_number(event.message): event for event in events}
    latest = service.deployment_num
    now = spec_of(service.spec, latest, service.submitted_at)
    specs = {**kept, latest: now}
    profile = service.spec.get("profile")  # the same for all deployments of a run
    return [
        PastDeployment(
            number,
            made.get(number),
            _between(specs.get(number - 1), specs.get(number), profile),
            _between(specs.get(number), now, profile),
            number == latest,
            *_who_and_when(number, made.get(number), service),
        )
        for number in range(latest, max(-1, latest - _MOST), -1)
    ]


def known_since(past: Iterable[PastDeployment], number: int) -> str:
    """What is known of a deployment whose spec is not kept: which fields changed since.

    Args:
        past: The deployments of the service.
        number: The number of that one.

    Returns:
        Sentences that say it, and why no plan leads back to it.
    """
    later = [each for each in past if each.number > number]
    names = dict.fromkeys(name for each in later for name in each.fields)
    untold = sum(not each.fields for each in later)
    said = []
    if names:
        said.append(f"Changed since: {', '.join(sorted(map(one_line, names)))}.")
    if untold:
        said.append(f"What {counted(untold, 'deployment')} since changed, no event tells.")
    said.append("Events name fields without their values, so no plan can lead back.")
    return " ".join(said)


def _who_and_when(
    number: int, event: Event | None, service: Service
) -> tuple[str | None, datetime | None]:
    """Who made a deployment, and when; of the first one the run itself says it, too."""
    if event is not None:
        return event.actor, event.recorded_at
    return (None, None) if number else (service.user, service.submitted_at)


def _number(message: str) -> int | None:
    """The number of the deployment that an event tells of."""
    told = sentences.told(message)
    return 0 if told.subject is sentences.Subject.SUBMITTED else told.deployment


def _between(
    old: KeptSpec | None, new: KeptSpec | None, profile: Any
) -> tuple[ChangedField, ...] | None:
    if old is None or new is None:
        return None
    found = changes(old, new)
    if not found:
        return ()
    before, after = (
        {**fields.with_fields({}, kept.values), "profile": profile} for kept in (old, new)
    )
    return tuple(
        ChangedField(fields.name_of(path), shown(path, was, before), shown(path, now, after))
        for path, (was, now) in found.items()
    )
