"""The replica that a rolling deployment starts beside those that a group wants.

dstack rolls out every group whose replicas no longer fit the spec: it starts one replica more than
are wanted (0.22.5, `ROLLING_DEPLOYMENT_MAX_SURGE` in
`server/background/pipeline_tasks/runs/active.py`), and stops an old one once the new one is ready.
In the outlook of an edit nothing is rolled out yet; this tells where the first of these replicas
would go, and in which other lanes replicas are once all are replaced.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from dstack_api_client.analysis.lane_input import NOT_ASKED, Offered
from dstack_api_client.analysis.rollout import SURGE
from dstack_api_client.edits.base.difference import ChangeKind, FieldChange
from dstack_api_client.edits.outlook.outlooks import ReplicaOutlook
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.edits.service.situation import managed, situation
from dstack_api_client.edits.spec.fields import Path
from dstack_api_client.model.snapshot import Snapshot
from dstack_placement import engine

_GROUPS = ("groups", "replicas")
_READY = engine.ReplicaState.READY


def rolled_groups(edit: ServiceEdit, changes: Iterable[FieldChange]) -> tuple[str, ...]:
    """The groups that changes roll out: those they are about; all for a field of the service."""
    about = [_group_of(change.path) for change in changes if change.kind is ChangeKind.ROLLING]
    return tuple(group.name for group in edit.groups if None in about or group.name in about)


def surges(
    edit: ServiceEdit,
    snapshot: Snapshot,
    changes: Iterable[FieldChange],
    offered: Offered = NOT_ASKED,
) -> tuple[ReplicaOutlook, ...]:
    """The extra replica of each group that an edit rolls out.

    Args:
        edit: The edit.
        snapshot: What is known of the project.
        changes: The fields that change.
        offered: What the server offers, as far as it was asked.

    Returns:
        A row for each: `start`, or `pending` where there is no room for it.

    Raises:
        LanesError: The edited lanes can't be accepted.
    """
    begun = _begun(edit, snapshot, rolled_groups(edit, changes), offered)
    if begun is None:
        return ()
    rolling, extra = begun
    plan = engine.preview(rolling, now=snapshot.observed_at)
    return tuple(_row(row) for row in plan.replicas if row.replica.key in extra)


def landings(
    edit: ServiceEdit,
    snapshot: Snapshot,
    changes: Iterable[FieldChange],
    offered: Offered = NOT_ASKED,
) -> Mapping[tuple[str, int], str]:
    """The lanes in which replicas are started that replace those of another lane.

    Lanes place what a rolling deployment starts as any new replica: the first that has room gets
    it, while the old one may have been elsewhere.

    Args:
        edit: The edit.
        snapshot: What is known of the project.
        changes: The fields that change.
        offered: What the server offers, as far as it was asked.

    Returns:
        The fleet, by the group and the number of the replica that is replaced.

    Raises:
        LanesError: The edited lanes can't be accepted.
    """
    groups = rolled_groups(edit, changes) if managed(edit) else ()
    begun = _begun(edit, snapshot, groups, offered)
    if begun is None:
        return {}
    rolling, extra = begun
    now = snapshot.observed_at
    waits = {each.group: each for each in rolling.replicas if each.key in extra}
    rolling = replace(
        rolling, replicas=tuple(each for each in rolling.replicas if each.key not in extra)
    )
    found: dict[tuple[str, int], str] = {}
    for group, new in waits.items():
        number = new.number
        while any(each.group == group and each.out_of_date for each in rolling.replicas):
            number += 1
            key = f"{new.key}-{number}"
            asked = replace(rolling, replicas=(*rolling.replicas, replace(new, key=key)))
            plan = engine.preview(asked, now=now)
            to = next((row.to for row in plan.replicas if row.replica.key == key), None)
            if to is None:
                break
            gone = engine.stopping_order(asked, group, now=now)
            old = next(each for each in gone if each.out_of_date)
            if to != old.fleet and old.fleet is not None:
                found[group, old.number] = to
            ready = replace(new, key=key, number=number, state=_READY, fleet=to)
            rooms = dict(rolling.rooms)
            _take(rooms, to, group)
            _free(rooms, old.fleet)
            left = tuple(each for each in rolling.replicas if each is not old)
            rolling = replace(rolling, replicas=(*left, ready), rooms=rooms)
    return found


def _free(rooms: dict[str, engine.Room], fleet: str | None) -> None:
    """A replica has left its place in a fleet."""
    room = rooms.get(fleet or "")
    if fleet is not None and room is not None and room.more is not None:
        limits = {name: number + 1 for name, number in room.more_of.items()}
        rooms[fleet] = replace(room, more=room.more + 1, more_of=limits)


def _take(rooms: dict[str, engine.Room], fleet: str, group: str) -> None:
    """A replica has a place in a fleet."""
    room = rooms.get(fleet)
    if room is None or room.more is None:
        return
    parts = list(room.parts)
    engine.take_part(parts, group)
    limits = {name: max(number - 1, 0) for name, number in room.more_of.items()}
    rooms[fleet] = replace(room, more=max(room.more - 1, 0), more_of=limits, parts=tuple(parts))


def _group_of(path: Path) -> str | None:
    return path[2] if path[0] == "configuration" and path[1] in _GROUPS and path[3:] else None


def _begun(
    edit: ServiceEdit, snapshot: Snapshot, groups: Collection[str], offered: Offered
) -> tuple[engine.Service, frozenset[str]] | None:
    """What `_rolling` gives; None where no group is rolled out, or the service is gone."""
    state = situation(edit, snapshot, offered) if groups else None
    return _rolling(state, groups, snapshot.observed_at) if state is not None else None


def _rolling(
    state: engine.Service, groups: Collection[str], now: datetime
) -> tuple[engine.Service, frozenset[str]]:
    """The service at the start of the deployment, and the keys of the extra replicas."""
    replicas, rooms = list(state.replicas), dict(state.rooms)
    number = max((replica.number for replica in replicas), default=-1)
    extra = set()
    for group in state.groups:
        active = [r for r in replicas if r.group == group.name and not _stops(r)]
        if group.name not in groups or not active or not group.wanted:
            continue
        # What is too many, the extra replica of an unfinished deployment too, makes room first.
        for surplus in _in_order(state, group, now)[: max(len(active) - group.wanted, 0)]:
            replicas.remove(surplus)
            _free(rooms, surplus.fleet)
        replicas = [replace(r, out_of_date=True) if r in active else r for r in replicas]
        missing = max(group.wanted - len(active), 0)
        for nth in range(missing + SURGE):
            number += 1
            new = engine.Replica(
                f"rolled-{number}", number, group.name, engine.ReplicaState.PENDING
            )
            replicas.append(new)
            if nth >= missing:
                extra.add(new.key)
    return replace(state, replicas=tuple(replicas), rooms=rooms), frozenset(extra)


def _in_order(state: engine.Service, group: engine.Group, now: datetime) -> list[engine.Replica]:
    """The group's replicas, who goes first first; none where nothing is known of fleets."""
    lanes = state.lanes if group.lanes is None else group.lanes
    return engine.stopping_order(state, group.name, now=now) if lanes else []


def _stops(replica: engine.Replica) -> bool:
    return replica.state is engine.ReplicaState.STOPPING


def _row(row: engine.ReplicaPlan) -> ReplicaOutlook:
    pending = row.action is engine.Action.PENDING
    # A group without lanes is placed by the server's own rule, where it finds room.
    action = engine.Action.PENDING if pending else engine.Action.START
    return replace(ReplicaOutlook.of(row), new=True, fleet=None, action=action.value)
