"""What is asked of a what-if, by names, and its answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.text import one_line
from dstack_api_client.whatif import Loss, NoSuchPlaceError, Outcome, loss_of, what_if
from dstack_fleets_tui.names import selection

#: Replicas that one may ask for.
_MOST = 100_000
_ASKED = re.compile(r"(?P<service>[^/=]+)(/(?P<group>[^=]+))?=(?P<count>[0-9]{1,6})")


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        without: What is lost, by name.
        counts: Replicas asked for, each `SERVICE=N` or `SERVICE/GROUP=N`.
        service: Just this service.
    """

    without: Sequence[str] = ()
    counts: Sequence[str] = ()
    service: str | None = None


def answer(snapshot: Snapshot, question: Question) -> tuple[Loss, list[Outcome]]:
    """What becomes of the services.

    Raises:
        NoSuchNameError: There is nothing of a name.
    """
    try:
        loss = loss_of(snapshot, question.without)
    except NoSuchPlaceError as error:
        names = ", ".join(map(one_line, error.known))
        raise selection.NoSuchNameError(
            f"There is no {one_line(error.text)} in project {one_line(snapshot.project)}.",
            f"It has: {names}." if names else "Write a fleet, FLEET/NUMBER, region:R or backend:B.",
        ) from error
    counts = _counts(snapshot, question.counts)
    outcomes = what_if(snapshot, loss, counts)
    if question.service is not None:
        (wanted,) = selection.services(snapshot, question.service)
        outcomes = [each for each in outcomes if each.service.id == wanted.id]
    return loss, outcomes


def _counts(snapshot: Snapshot, asked: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for each in asked:
        match = _ASKED.fullmatch(each)
        if match is None or int(match["count"]) > _MOST:
            raise selection.NoSuchNameError(
                f"{one_line(each)} does not ask for a number of replicas.",
                f"Write SERVICE=N or SERVICE/GROUP=N, with at most {_MOST:,}.",
            )
        (service,) = selection.services(snapshot, match["service"])
        counts.setdefault(service.id, {})[_group(service, match["group"])] = int(match["count"])
    return counts


def _group(service: Service, name: str | None) -> str:
    names = [group.name for group in service.groups]
    if name is None and len(names) == 1:
        return names[0]
    if name in names:
        return str(name)
    raise selection.NoSuchNameError(
        f"The service {one_line(service.name)} has "
        + (f"no group {one_line(name)}." if name else "several groups."),
        f"Write one of them: {', '.join(f'{service.name}/{each}=N' for each in names)}.",
    )
