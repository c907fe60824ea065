"""What an operator should know before an edit is applied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from dstack_api_client.analysis.rollout import out_of_date
from dstack_api_client.edits.outlook.addresses import lost_addresses
from dstack_api_client.edits.outlook.dryrun import AT_ITS_TIME, NEVER, without_room
from dstack_api_client.edits.outlook.outlooks import DryRun, ReplicaOutlook
from dstack_api_client.edits.outlook.retrying import Retry, retry_of
from dstack_api_client.edits.outlook.spots import barred_fleets
from dstack_api_client.edits.service import checks
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.edits.spec.configuration_file import LOCAL
from dstack_api_client.edits.spec.group_roles import roles_in
from dstack_api_client.model.labels import in_text, labels_of, listed
from dstack_api_client.model.roles import consequence, lacking, named
from dstack_api_client.model.router import Sync
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.text import one_line
from dstack_placement.engine import Code, code_of


class Risk(int, Enum):
    """How grave a warning is."""

    NOTE = 1
    WARNING = 2
    DANGER = 3
    """The service could end, or stop answering."""


@dataclass(frozen=True, slots=True)
class PlanWarning:
    """One thing to know.

    Attributes:
        key: What sort of thing: `kill-trap`, `no-retry`, `no-room-known`, `no-probes`, `rollout`,
            `baseline`, `never-starts`, `at-its-time`, `addresses`, `workers`, `below-minimum`,
            `last-replica`, `rebalancing`, `pending`, `server-changes`, `contents`, `spot`, `cut`,
            `note`.
        risk: How grave.
        line: What it is and what can be done, one line.
    """

    key: str
    risk: Risk
    line: str


def warnings_of(
    edit: ServiceEdit,
    outlook: DryRun | None,
    snapshot: Snapshot | None,
    *,
    now: datetime,
    changed_by_server: Sequence[str] = (),
) -> tuple[PlanWarning, ...]:
    """Everything to be warned of, the gravest first.

    Args:
        edit: The edit, on the service as it is now.
        outlook: What it would do, with the `surges` of its rolling deployments; None where that
            is not known.
        snapshot: What is known of the project.
        now: The time, by which a `retry` may be over.
        changed_by_server: Fields that the server stores otherwise than they are sent.
    """
    found: list[PlanWarning] = []
    if outlook is not None:
        found += _of_starts(edit, outlook, now)
        found += _of_lanes(outlook)
        found += of_addresses(edit, outlook)
    found += _of_counts(edit, outlook)
    if snapshot is not None:
        found += [PlanWarning("spot", Risk.WARNING, line) for line in barred_fleets(edit, snapshot)]
        found += _of_rollout(edit, snapshot)
        found += _of_workers(edit, snapshot)
        found += _of_rebalancing(edit, snapshot)
    if outlook is not None:
        found += _of_notes(outlook, {warning.line for warning in found})
        found += _of_cuts(edit, outlook)
    if changed_by_server:
        names = ", ".join(changed_by_server)
        found.append(
            PlanWarning("server-changes", Risk.NOTE, f"The server itself changes {names}.")
        )
    return tuple(sorted(found, key=lambda warning: -warning.risk.value))


def of_addresses(edit: ServiceEdit, outlook: DryRun) -> list[PlanWarning]:
    """What comes of replicas that were given the address of one that goes."""
    return [PlanWarning("addresses", Risk.DANGER, line) for line in lost_addresses(edit, outlook)]


def contents_notes(edit: ServiceEdit) -> list[PlanWarning]:
    """What an edit made of a file leaves as it is: the contents of what the file names."""
    named = " and ".join(f"`{key}`" for key in LOCAL if edit.configuration.get(key))
    line = f"What {named} name is not compared and stays as it is: `dstack apply` sends it."
    return [PlanWarning("contents", Risk.NOTE, line)] if named else []


def is_probed(edit: ServiceEdit) -> bool:
    """Whether dstack waits for a replica's probes, or its router, before requests go to it.

    From dstack's own job configurator: without `probes`, a service with a chat model in OpenAI's
    format gets one.
    """
    if any(group.router for group in edit.groups):
        return True
    probes = edit.configuration.get("probes")
    if probes is not None:
        return bool(probes)
    model = edit.configuration.get("model")
    if isinstance(model, Mapping):
        return bool(model.get("format", "openai") == "openai")
    return bool(model)


def _of_starts(edit: ServiceEdit, outlook: DryRun, now: datetime) -> Iterator[PlanWarning]:
    rows = (*outlook.replicas, *outlook.surges)
    coming = sum(row.action in ("start", "move") for row in rows)
    never = [row for row in rows if row.reason == NEVER]
    later = sum(row.reason == AT_ITS_TIME for row in rows)
    pending = without_room(rows)
    retry = retry_of(edit)
    if later:
        yield PlanWarning(
            "at-its-time",
            Risk.NOTE,
            f"{_replicas(later)} will start at the time that `schedule` sets; what room there is"
            " then is not known now.",
        )
    if never:
        groups = one_line(
            listed(dict.fromkeys(outlook.labels.get(row.group, row.group) for row in never))
        )
        yield PlanWarning(
            "never-starts",
            Risk.DANGER,
            f"{_replicas(len(never))} of {groups} will wait for ever: {one_line(never[0].why)}."
            " Give that group a replica too, or stop the service and apply its file.",
        )
    if pending:
        yield _of_pending(pending, outlook, retry, now)
    if coming and (outlook.managed or not pending):  # else its `retry` has been told of
        yield from _of_failing(outlook, retry, now)
    if coming and not is_probed(edit):
        yield PlanWarning(
            "no-probes",
            Risk.WARNING,
            "The service has no probes: dstack sends requests to a new replica as soon as its"
            " commands run, and they fail until it listens. Add `probes`.",
        )


def _of_pending(
    pending: Sequence[ReplicaOutlook], outlook: DryRun, retry: Retry, now: datetime
) -> PlanWarning:
    """What comes of replicas for which there is no room."""
    whys = dict.fromkeys(row.why for row in pending)
    # A group with more lanes than another gives the other's reason too.
    wider = (each for each in whys if not any(each != more and each in more for more in whys))
    why = one_line("; ".join(filter(None, wider))) or "no room"
    surging = sum(row in outlook.surges for row in pending)
    extra = ""
    if surging:
        which = "it" if len(pending) == 1 else f"{surging} of them"
        extra = f" The rolling deployment starts {which} beside those that run."
    if outlook.managed or retry.holds(now):
        # Without lanes, dstack ends the service once its retry is over and there still is no room.
        risk, end = Risk.WARNING, ""
        if not outlook.managed:
            risk, end = Risk.DANGER, f" {retry.end or retry.some_end}"
        return PlanWarning(
            "pending",
            risk,
            f"{_replicas(len(pending))} can't start now and will wait: {why}.{extra}{end}",
        )
    return PlanWarning(
        "kill-trap",
        Risk.DANGER,
        f"{_replicas(len(pending))} can't start ({why}), and {retry.lack(now)}: dstack then ends"
        f" the whole service{_and_others(outlook)}.{extra} Make room first.",
    )


def _and_others(outlook: DryRun) -> str:
    return ", the replicas that run too" if any(not row.new for row in outlook.replicas) else ""


def _of_failing(outlook: DryRun, retry: Retry, now: datetime) -> Iterator[PlanWarning]:
    """What comes of replicas that have room, if a start fails all the same.

    Room is what the server saw last: the next moment a backend may have none, or an image not be
    there.
    """
    if outlook.managed:
        if lack := retry.lack_of_errors:
            yield PlanWarning(
                "no-retry",
                Risk.DANGER,
                f"{lack[:1].upper()}{lack[1:]}: if a new replica can't start, dstack ends the whole"
                " service. Lack of room alone does not.",
            )
        return
    room = one_line(", ".join(outlook.unsure))
    lack = retry.lack(now) or retry.lack_soon(now) or retry.lack_of_errors
    if lack:
        unsure = f"Nothing shows that {room} has room, and " if room else ""
        what = f"{unsure}{lack}"
        yield PlanWarning(
            "no-retry",
            Risk.DANGER,
            f"{what[:1].upper()}{what[1:]}: if a new replica can't start, dstack ends the whole"
            f" service{_and_others(outlook)}.{' Make room first.' if room else ''}",
        )
    elif room:
        yield PlanWarning(
            "no-room-known",
            Risk.WARNING,
            f"Nothing shows that {room} has room. {retry.end or retry.some_end}",
        )


def _of_lanes(outlook: DryRun) -> Iterator[PlanWarning]:
    for lane in outlook.lanes:
        if lane.deficit:
            yield PlanWarning(
                "baseline",
                Risk.WARNING,
                f"The baseline of {outlook.lane_name(lane)} can't be met now:"
                f" {lane.after} of {lane.lane.min_replicas}."
                f" {lane.reason[:1].upper()}{lane.reason[1:]}.",
            )
        most = lane.lane.max_replicas
        if most is not None and lane.after > most:
            yield PlanWarning(
                "above-maximum",
                Risk.WARNING,
                f"{outlook.lane_name(lane)} stays above its maximum: {lane.after} of at most"
                f" {most}. Its replicas move only to a lane that has room for them.",
            )


def _of_counts(edit: ServiceEdit, outlook: DryRun | None) -> Iterator[PlanWarning]:
    for line in checks.warnings(edit):
        yield PlanWarning("below-minimum", Risk.WARNING, str(line))
    # A router answers nothing without workers.
    routers = {group.name for group in edit.groups if group.router}
    if _at_zero(edit):
        if _at_zero(_before(edit)):
            return  # it stands at zero already
        what = "No worker is left behind the router" if routers else "No replica is left"
        yield PlanWarning("last-replica", Risk.DANGER, f"{what}: all requests will fail.")
        return
    yield from _of_roles(edit)
    if outlook is None:
        return
    rows = [row for row in outlook.replicas if row.group not in routers]
    left = [row for row in rows if row.action != "stop"]
    stops = [row for row in rows if row.action == "stop"]
    if stops and not [row for row in left if not row.new]:
        yield PlanWarning(
            "last-replica",
            Risk.DANGER,
            "Every replica that runs is stopped: requests fail until new ones are ready.",
        )


def _before(edit: ServiceEdit) -> ServiceEdit:
    """The same without its changes."""
    return replace(edit, spec=edit.base.spec)


def _at_zero(edit: ServiceEdit) -> bool:
    return all(group.greatest == 0 for group in edit.groups if not group.router)


def _served(edit: ServiceEdit) -> set[str]:
    """The parts of a disaggregated service that have a worker."""
    greatest = {group.name: group.greatest for group in edit.groups}
    return {role for name, role in roles_in(edit.spec).items() if greatest.get(name) != 0}


def _of_roles(edit: ServiceEdit) -> Iterator[PlanWarning]:
    """The parts of a disaggregated service that the edit leaves without a worker."""
    before, after = roles_in(edit.base.spec), roles_in(edit.spec)
    needed = {*before.values(), *after.values()}
    lacked = lacking(needed, _served(edit))
    if lacked and lacked != lacking(needed, _served(_before(edit))):
        text = consequence(lacked, needed)
        line = f"{named(lacked)} is left: {text}."
        yield PlanWarning("last-replica", Risk.DANGER, f"{line[:1].upper()}{line[1:]}")


def _of_rollout(edit: ServiceEdit, snapshot: Snapshot) -> Iterator[PlanWarning]:
    service = snapshot.services.get(edit.base.id)
    if service is None:
        return
    found = snapshot.replicas_of(service)
    behind = Counter(replica.group for replica in found if out_of_date(replica, service))
    if not behind:
        return
    to_go = f"{_replicas(behind.total())} to go"
    if len(service.groups) > 1:
        labels = labels_of(service.groups)
        each = (f"{in_text(labels.get(group, group))} {number}" for group, number in behind.items())
        to_go += f": {', '.join(each)}"
    yield PlanWarning(
        "rollout",
        Risk.WARNING,
        f"A rolling deployment is under way ({to_go}): until it ends,"
        " counts and lanes are not followed.",
    )


def _of_rebalancing(edit: ServiceEdit, snapshot: Snapshot) -> Iterator[PlanWarning]:
    placement = snapshot.placements.get(edit.base.id)
    if placement is not None and placement.rebalancing:
        told = placement.rebalancing
        ends = any("fleets" in path for path in edit.changes)
        what = "the change of lanes ends it" if ends else "it goes on beside this change"
        line = f"{told[:1].upper()}{told[1:]}: {what}."
        yield PlanWarning("rebalancing", Risk.WARNING, line)


def _of_workers(edit: ServiceEdit, snapshot: Snapshot) -> Iterator[PlanWarning]:
    router = snapshot.routers.get(edit.base.id)
    if router is None:
        return
    missing = [worker for worker in router.workers if worker.sync is Sync.MISSING]
    if missing:
        fleets = ", ".join(dict.fromkeys(worker.fleet or "?" for worker in missing))
        yield PlanWarning(
            "workers",
            Risk.WARNING,
            f"The router does not reach {_replicas(len(missing))} in {one_line(fleets)}: more there"
            " would get no requests either.",
        )


def _of_cuts(edit: ServiceEdit, outlook: DryRun) -> Iterator[PlanWarning]:
    """What becomes of requests where no replica ends them before it stops."""
    stops = any(row.action == "stop" for row in outlook.replicas)
    replaced = any(row.action == "start" for row in outlook.surges)
    if (stops or replaced) and not (edit.capabilities.has_addon or edit.capabilities.unread):
        yield PlanWarning(
            "cut",
            Risk.NOTE,
            "Requests that take longer than some seconds may be cut: without the placement add-on"
            " a replica stops with requests open.",
        )


def _of_notes(outlook: DryRun, told: Collection[str]) -> Iterator[PlanWarning]:
    """What the server or the engine notes, as far as nothing else has told it."""
    for note in outlook.notes:
        line = str(one_line(note))
        if code_of(note) == Code.OUT_OF_REACH:
            yield PlanWarning("workers", Risk.WARNING, line)
        elif line not in told and code_of(note) != Code.ROLLOUT:  # which has one of its own
            yield PlanWarning("note", Risk.NOTE, line)


def _replicas(number: int) -> str:
    return "1 replica" if number == 1 else f"{number} replicas"
