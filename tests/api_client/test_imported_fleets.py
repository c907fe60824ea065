"""A fleet that another project lends is named with the project, beside an own one of that name."""

from __future__ import annotations

from typing import Any

from dstack_api_client.analysis.distribution import distribution_of
from dstack_api_client.edits.outlook.dryrun import dry_run_here
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.join.join import Answers, Joined, build
from dstack_api_client.model.replica import Link
from dstack_api_client.model.snapshot import ServerInfo, Snapshot
from dstack_fleets_tui.headless.kinds import fleets as printed
from dstack_fleets_tui.tables import fleets as list_of_fleets
from dstack_fleets_tui.tables.looks import Looks
from tests.builders import answers, service_edits

OWN = answers.fleet(1, name="gpu")
LENT = answers.fleet(2, name="gpu", project_name="lab")
LENT["spec"]["configuration"]["nodes"] = {"min": 0, "target": 0, "max": 1}
SERVER = ServerInfo("http://server", "0.22.5")


def joined(
    *fleets: dict[str, Any],
    lanes: bool = False,
    previous: Joined | None = None,
    own: bool = False,
    **submission: Any,
) -> Joined:
    """A service with a replica in the fleet that is lent, and perhaps one in the own fleet."""
    hosts = [answers.instance(1, LENT, hostname="h1", total_blocks=1)]
    jobs = [_job(0, "h1")]
    if own:
        hosts.append(answers.instance(2, OWN, hostname="h2", total_blocks=1))
        jobs.append(_job(1, "h2"))
    if submission:
        jobs.append(answers.job(2, answers.submission(2, **submission)))
    named: dict[str, Any] = {"project": "lab", "name": "gpu"}
    if lanes:
        named["min_replicas"] = 1
    run = answers.run(
        1,
        *jobs,
        id=service_edits.base().id,
        fleet={"id": LENT["id"], "name": "gpu"},
        configuration={"fleets": [named], "replicas": {"min": 1, "max": 1}},
    )
    read = Answers(
        {each["id"]: answers.as_fleet(each) for each in fleets or (OWN, LENT)},
        {each["id"]: answers.as_instance(each) for each in hosts},
        {run["id"]: answers.as_run(run)},
    )
    return build(read, server=SERVER, project="main", observed_at=answers.START, previous=previous)


def _job(number: int, host: str) -> dict[str, Any]:
    data = {"backend": "aws", "hostname": host, "region": "us-east-1", "price": 32.0}
    return answers.job(number, answers.submission(number, job_provisioning_data=data))


def snapshot(**changes: Any) -> Snapshot:
    return joined(**changes).snapshot


def test_all_that_is_in_it_has_its_name() -> None:
    made = snapshot(own=True)
    assert [fleet.name for fleet in made.fleets.values()] == ["gpu", "lab/gpu"]
    assert [instance.fleet_name for instance in made.instances.values()] == ["lab/gpu", "gpu"]
    assert [replica.fleet_name for replica in made.replicas.values()] == ["lab/gpu", "gpu"]
    (service,) = made.services.values()
    assert service.fleet_name == "lab/gpu"
    assert sorted(share.fleet or "" for share in service.shares) == ["gpu", "lab/gpu"]


def test_a_row_for_each_of_the_two() -> None:
    made = snapshot(own=True)
    rows = distribution_of(made, next(iter(made.services.values()))).rows
    assert [(row.fleet, row.fleet_id, row.running) for row in rows] == [
        ("lab/gpu", LENT["id"], 1),
        ("gpu", OWN["id"], 1),
    ]


def test_lists_and_json_tell_them_apart() -> None:
    fleets = list(snapshot().fleets.values())
    first = [list_of_fleets.cells(fleet, Looks(answers.START))[0] for fleet in fleets]
    assert [getattr(cell, "text", cell) for cell in first] == ["gpu", "lab/gpu"]
    told = [printed.item(fleet, snapshot()) for fleet in fleets]
    assert [(each["name"], each["project"]) for each in told] == [
        ("gpu", "main"),
        ("lab/gpu", "lab"),
    ]


def test_an_own_fleet_may_be_named_with_its_project() -> None:
    made = snapshot()
    named = [made.fleet_named(name) for name in ("gpu", "main/gpu", "lab/gpu", "x/gpu")]
    assert [fleet.id if fleet else None for fleet in named] == [
        OWN["id"],
        OWN["id"],
        LENT["id"],
        None,
    ]


def test_its_room_is_its_own() -> None:
    """One of at most one node exists in the fleet that is lent; the own one has room for four."""
    base = service_edits.base(
        fleets=["lab/gpu"], replicas={"min": 1, "max": 1}, probes=[{"type": "http"}]
    )
    edit = ServiceEdit.begin(base, service_edits.STOCK).with_replicas("0", 2)
    outlook = dry_run_here(edit, snapshot())
    assert outlook is not None
    assert [(row.action, row.fleet) for row in outlook.replicas] == [
        ("stay", "lab/gpu"),
        ("pending", None),
    ]
    assert "1 of at most 1 node exists" in outlook.replicas[1].why


def test_names_that_become_known_later_reach_what_was_joined_before() -> None:
    before = joined(OWN)
    assert {each.fleet_name for each in before.snapshot.replicas.values()} == {"gpu"}
    assert joined(previous=before).snapshot == joined().snapshot


WAITS: dict[str, Any] = {
    "status": "submitted",
    "job_provisioning_data": None,
    "job_runtime_data": None,
}


def test_with_lanes_the_fleet_of_the_run_is_not_that_of_a_replica_without_one() -> None:
    made = snapshot(lanes=True, **WAITS)
    waiting = list(made.replicas.values())[-1]
    assert (waiting.fleet_name, waiting.fleet_id, waiting.link) == (None, None, Link.UNKNOWN)
    rows = distribution_of(made, next(iter(made.services.values()))).rows
    assert [(row.fleet, row.running, row.pending) for row in rows] == [
        ("lab/gpu", 1, 0),
        (None, 0, 1),
    ]


def test_without_lanes_a_replica_whose_host_is_not_known_is_where_the_run_is() -> None:
    starts = answers.submission(1, status="provisioning", job_runtime_data=None)
    starts["job_provisioning_data"]["hostname"] = None
    replica = list(snapshot(**starts).replicas.values())[-1]
    assert (replica.fleet_name, replica.link) == ("lab/gpu", Link.RUN_FLEET)


def test_without_lanes_too_a_replica_without_a_place_is_in_no_fleet() -> None:
    made = snapshot(**WAITS)
    waiting = list(made.replicas.values())[-1]
    assert (waiting.fleet_name, waiting.fleet_id, waiting.link) == (None, None, Link.UNKNOWN)
    (service,) = made.services.values()
    assert [(share.fleet, share.starting) for share in service.shares] == [
        ("lab/gpu", 0),
        (None, 1),
    ]
