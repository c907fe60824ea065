"""Over random states the client's dry run agrees with the server's, which the add-on makes."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import reject
from hypothesis import strategies as st

from dstack_api_client.edits.errors import EditError
from dstack_api_client.edits.outlook.dryrun import dry_run_here
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.join.join import Answers, build
from dstack_api_client.model.placement import LanePlacement, Placement, ReplicaPlacement
from dstack_api_client.model.replica import Link, ReplicaKey
from dstack_api_client.model.snapshot import ServerInfo, Snapshot
from dstack_placement import engine
from tests.builders import answers, placement_services, projects, service_edits
from tests.builders.contended_fleets import ContendedFleets, contended_fleets
from tests.builders.edited_states import edited
from tests.builders.generation import SEED
from tests.builders.placement_cases import FLEETS, cases, services
from tests.builders.placement_services import NOW

#: A server that takes `reclaim`.
KNOWS = replace(service_edits.WITH_LANES, features=service_edits.WITH_LANES.features | {"reclaim"})
#: A fleet with replicas of the service that is none of its lanes.
GONE = "gone"
_NUMBERS = {name: number for number, name in enumerate((*FLEETS, GONE), 1)}
_STATUSES = {
    engine.ReplicaState.PENDING: "submitted",
    engine.ReplicaState.STARTING: "provisioning",
    engine.ReplicaState.RUNNING: "running",
    engine.ReplicaState.READY: "running",
    engine.ReplicaState.STOPPING: "terminating",
}


@pytest.fixture(autouse=True)
def _seed_shown_on_failure() -> None:
    sys.stdout.write(f"PLACEMENT_SEED={SEED}\n")


def entries(lanes: tuple[engine.Lane, ...] | None) -> list[dict[str, Any]] | None:
    """Lanes as a spec has them."""
    if lanes is None:
        return None
    return [
        {
            "project": None,
            "name": lane.fleet,
            "min_replicas": lane.min_replicas,
            "max_replicas": lane.max_replicas,
            "priority": lane.priority,
        }
        for lane in lanes
    ]


def spec_of(state: engine.Service) -> dict[str, Any]:
    """What of the configuration makes the service what it is."""
    groups = [
        service_edits.group(
            group.name,
            replicas={"min": 1, "max": 1} if group.router else {"min": 0, "max": 20},
            router={"type": "smg"} if group.router else None,
            scaling=None if group.router else service_edits.SCALING,
            fleets=entries(group.lanes),
        )
        for group in state.groups
    ]
    return {"fleets": entries(state.lanes), "replicas": None, "groups": groups}


def _own_lanes(state: engine.Service) -> list[tuple[engine.Lane, ...]]:
    return [group.lanes for group in state.groups if group.lanes]


def seen(state: engine.Service, spec: dict[str, Any], run_id: str) -> Snapshot:
    """What the client reads of it: a job is linked to its fleet once it has an instance."""
    fleets = {
        name: answers.fleet(number, name=name, id=answers.ident(100 + number))
        for name, number in _NUMBERS.items()
    }
    instances, jobs, links = [], [], {}
    for replica in state.replicas:
        placed = replica.fleet is not None and replica.state is not engine.ReplicaState.PENDING
        submission = answers.submission(
            replica.number,
            id=replica.key,
            status=_STATUSES[replica.state],
            deployment_num=0 if replica.out_of_date else 1,
            job_provisioning_data=None,
            job_runtime_data=None,
            probes=[{"success_streak": 3 if replica.state is engine.ReplicaState.READY else 0}],
        )
        jobs.append(answers.job(replica.number, submission, replica_group=replica.group))
        if placed:
            instance = answers.instance(replica.number, fleets[replica.fleet or ""])
            instances.append(instance)
            links[replica.key] = instance["id"]
    first = next(lane for lanes in (state.lanes, *_own_lanes(state)) for lane in lanes)
    run = answers.run(
        1,
        *jobs,
        id=run_id,
        deployment_num=1,
        # The server stores the fleet of the first replica on the run.
        fleet={"id": fleets[first.fleet]["id"], "name": first.fleet},
        configuration=spec,
    )
    read = Answers(
        {each["id"]: answers.as_fleet(each) for each in fleets.values()},
        {each["id"]: answers.as_instance(each) for each in instances},
        {run_id: answers.as_run(run)},
        links,
    )
    server = ServerInfo("http://server", "0.22.5")
    return build(read, server=server, project="main", observed_at=NOW).snapshot


def told(state: engine.Service, run_id: str) -> Placement:
    """What the add-on answers on how it is placed."""
    plan = engine.preview(state, now=NOW)
    return Placement(
        run_id=run_id,
        managed=True,
        observed_at=NOW,
        desired={group.name: group.wanted for group in state.groups},
        pools={g.name: g.name if g.lanes else engine.SHARED for g in state.groups},
        lanes=tuple(
            LanePlacement(
                pool=lane.pool,
                lane=lane.lane,
                target=lane.target,
                running=0,
                ready=0,
                pending=0,
                deficit=lane.deficit,
                deficit_since=None,
                fallbacks=0,
                room=lane.room,
                cooldown_until=lane.until,
                reason=lane.reason,
            )
            for lane in plan.lanes
        ),
        replicas=tuple(
            ReplicaPlacement(each.number, each.group, each.key, each.fleet, None, None, None)
            for each in state.replicas
        ),
        notes=(),
    )


def changed(draw: st.DataObject, edit: ServiceEdit) -> ServiceEdit:
    """An edit of counts or lanes, or none."""
    what = draw.draw(st.sampled_from(["nothing", "count", "minimum", "maximum", "priority"]))
    if what == "count":
        return edit.with_replicas(edit.groups[0].name, draw.draw(st.integers(0, 9)))
    if what == "nothing":
        return edit
    pool = draw.draw(st.sampled_from(edit.pools))
    fleet = draw.draw(st.sampled_from([lane.fleet for lane in edit.lanes(pool)] or [""]))
    if not fleet:
        return edit
    number = draw.draw(st.integers(0, 4))
    if what == "minimum":
        return edit.with_lane(pool, fleet, min_replicas=number)
    if what == "maximum":
        return edit.with_lane(pool, fleet, max_replicas=number)
    return edit.with_lane(pool, fleet, priority=number)


def on_the_server(state: engine.Service, edit: ServiceEdit) -> engine.Service:
    """The state under the edit, as the add-on makes it of the question."""
    read = engine.read_configuration(edit.configuration, project="main")
    limits = {group.name: (group.least, group.greatest) for group in read.groups}
    wanted = {}
    for group in state.groups:
        least, greatest = limits[group.name]
        count = max(group.wanted, least)
        wanted[group.name] = count if greatest is None else min(count, greatest)
    own = {group.name: group.lanes for group in read.groups}
    return edited(state, lanes=read.lanes, group_lanes=own, wanted=wanted)


@cases(services(some_without=True), st.booleans(), st.data(), most=150)
def test_client_and_server_agree(
    drawn: engine.Service, rebalance: bool, data: st.DataObject
) -> None:
    ident = answers.ident(100 + _NUMBERS[GONE])
    state = replace(
        drawn,
        groups=tuple(replace(group, lanes=group.lanes or None) for group in drawn.groups),
        replicas=tuple(
            # The add-on names a fleet that is not a lane (any more) by its id.
            replace(
                each,
                key=answers.ident(100_000 + each.number),
                fleet=ident if each.fleet not in (None, *FLEETS) else each.fleet,
            )
            for each in drawn.replicas
        ),
    )
    lanes_by_group = {group.name: group.lanes or state.lanes for group in state.groups}
    state = replace(
        state,
        replicas=tuple(
            each
            if each.fleet in (None, ident)
            or any(lane.fleet == each.fleet for lane in lanes_by_group[each.group])
            else replace(each, fleet=ident)
            for each in state.replicas
        ),
    )
    base = service_edits.base(**spec_of(state), probes=[{"type": "http"}])
    spec = {**base.spec["configuration"]}
    begun = ServiceEdit.begin(base, service_edits.WITH_LANES)
    named = replace(
        state,
        replicas=tuple(
            replace(each, fleet=GONE) if each.fleet == ident else each for each in state.replicas
        ),
    )
    snapshot = replace(
        seen(named, spec, base.id),
        capabilities=service_edits.WITH_LANES,
        placements={base.id: told(state, base.id)},
    )
    try:
        edit = changed(data, begun)
        here = dry_run_here(edit, snapshot, rebalance=rebalance)
    except EditError:
        reject()
    assert here is not None
    there = engine.preview(on_the_server(state, edit), now=NOW, rebalance=rebalance)
    assert [(row.number, row.group, row.fleet, row.action, row.to) for row in here.replicas] == [
        (
            row.replica.number,
            row.replica.group,
            GONE if row.replica.fleet == ident else row.replica.fleet,
            row.action.value,
            row.to,
        )
        for row in there.replicas
    ]
    after = {(lane.pool, lane.fleet): (lane.target, lane.after, lane.room) for lane in there.lanes}
    shown = {(lane.pool, lane.fleet): (lane.target, lane.after, lane.room) for lane in here.lanes}
    assert {at: shown[at] for at in after} == after
    waiting = {each.key for each in state.replicas if each.fleet is None}
    for replica in snapshot.replicas.values():
        if replica.submission_id in waiting:
            assert (replica.fleet_name, replica.link) == (None, Link.UNKNOWN)


def _contended(played: ContendedFleets, run_id: str) -> Snapshot:
    """What the client sees of services that share fleets; the first is the run of an id."""
    first = next(iter(played.services))
    runs, hosts, placements = [], [], []
    for name, state in played.services.items():
        key = run_id if name == first else f"s-{name}"
        jobs = []
        for each in state.replicas:
            host = projects.instances(f"{each.fleet}", "busy")[0]
            host = replace(host, id=f"i-{each.key}", name=f"i-{each.key}", num=len(hosts))
            hosts.append(host)
            job = projects.replica(
                each.number, each.fleet, service=name, instance_id=host.id,
                submission_id=each.key, submitted_at=NOW,
            )  # fmt: skip
            jobs.append(replace(job, key=ReplicaKey(key, each.number, 0)))
        spec = projects.with_lanes(entries(state.lanes) or [], len(jobs))
        service = projects.service(
            jobs, [projects.group("0", len(jobs))], name=name, spec=spec, has_lanes=True,
            priority=played.priorities[name],
        )  # fmt: skip
        runs.append((replace(service, id=key), jobs))
        placements.append(told(played.seen(name), key))
    fleets = [projects.fleet(name, nodes_max=0) for name in played.sizes]
    capabilities = replace(KNOWS, features=KNOWS.features | {"placement", "list"})
    made = projects.project(
        *runs, fleets=fleets, hosts=hosts, placements=placements, capabilities=capabilities
    )
    return replace(made, observed_at=NOW)


def test_who_gives_way_is_foreseen_one_after_the_other() -> None:
    lanes = (engine.Lane("a", 2, priority=9), engine.Lane("b"))
    one = (engine.Lane("a", 1, priority=9), engine.Lane("b"))
    services = {
        "short": placement_services.service(lanes, 2, "b b"),
        "low": placement_services.service(one, 2, "a a"),
        "high": placement_services.service(one, 2, "a a"),
    }
    keyed = {
        name: replace(
            each, replicas=tuple(replace(one, key=f"{name}{one.key}") for one in each.replicas)
        )
        for name, each in services.items()
    }
    priorities = {"short": 3, "low": 1, "high": 2}
    off = dict.fromkeys(services, engine.Reclaim.OFF)
    played = ContendedFleets({"a": 4, "b": 9}, keyed, off, priorities)
    assert _foreseen(played, engine.Reclaim.LOWER) == [
        "Replica 0 of low gives way in a and moves to b: chat is below its minimum there.",
        "Replica 0 of high gives way in a and moves to b: chat is below its minimum there.",
    ]


@cases(contended_fleets(), st.sampled_from([engine.Reclaim.LOWER, engine.Reclaim.ANY]), most=60)
def test_client_and_server_foresee_the_same(
    played: ContendedFleets, reclaim: engine.Reclaim
) -> None:
    """Who gives way to an edited service, to where, and how it stands then."""
    _foreseen(played, reclaim)


def _foreseen(played: ContendedFleets, reclaim: engine.Reclaim) -> list[str]:
    """Who gives way to the first of the services, which both foresee alike."""
    name, *others = played.services
    state = played.services[name]
    base = service_edits.base(
        fleets=entries(state.lanes),
        replicas={"min": 0, "max": 20},
        scaling=service_edits.SCALING,
        priority=played.priorities[name],
        probes=[{"type": "http"}],
    )
    snapshot = _contended(played, base.id)
    edit = ServiceEdit.begin(base, KNOWS).with_reclaim(reclaim)
    here = dry_run_here(edit, snapshot)
    assert here is not None
    seen = played.seen(name)
    contenders = {
        fleet: [played.contender(other, fleet) for other in others] for fleet in played.sizes
    }
    there = engine.foresee(seen, reclaim, played.priorities[name], contenders, name="chat", now=NOW)
    lines = [str(way.line(base.target.name)) for way in there.ways]
    assert [note for note in here.notes if "gives way" in note] == lines
    after = {lane.fleet: lane.after for lane in engine.preview(there.service, now=NOW).lanes}
    assert {lane.fleet: lane.after for lane in here.lanes if lane.fleet in after} == after
    return lines
