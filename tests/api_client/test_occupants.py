"""What instances are busy with, which keep their number to themselves, and which are no waste."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dstack_api_client.events.guests import Guests
from dstack_api_client.join.join import Answers, build
from dstack_api_client.model.labels import job_name
from dstack_api_client.model.occupants import Unseen, namesakes, unseen
from dstack_api_client.model.snapshot import ServerInfo, Snapshot
from dstack_api_client.problems.watch import problems_of
from dstack_api_client.transport import wire
from dstack_fleets_tui.headless.kinds import instances as printed
from dstack_fleets_tui.tables import fleets, instances
from dstack_fleets_tui.tables.looks import Looks
from dstack_fleets_tui.words import words
from dstack_widgets.table.cells import plain_text
from tests.builders import answers, projects
from tests.builders.projects import NOW

LOOKS = Looks(answers.START)


def joined(
    *hosts: dict[str, Any], runs: tuple[dict[str, Any], ...] = (), lent: bool = False
) -> Snapshot:
    """A fleet with instances, and what runs there."""
    fleet = answers.fleet(1, project_name="lab" if lent else answers.PROJECT)
    placed = [{**host, "fleet_id": fleet["id"], "fleet_name": fleet["name"]} for host in hosts]
    read = Answers(
        {fleet["id"]: answers.as_fleet(fleet)},
        {each["id"]: answers.as_instance(each) for each in placed},
        {run["id"]: answers.as_run(run) for run in runs},
    )
    return build(
        read,
        server=ServerInfo("http://server", "0.22.5"),
        project=answers.PROJECT,
        observed_at=answers.START,
    ).snapshot


def task(number: int, *jobs: dict[str, Any], **configuration: Any) -> dict[str, Any]:
    return answers.run(
        number, *jobs, name="train", user="ann", configuration={"type": "task", **configuration}
    )


def told(made: Snapshot) -> list[str]:
    return [words.runs_on(instance, made) for instance in made.instances.values()]


BUSY = answers.instance(7, hostname="h7")


def test_a_busy_host_of_a_lent_fleet_is_used_by_another_project() -> None:
    made = joined(BUSY, lent=True)
    assert told(made) == ["used by another project"]
    (instance,) = made.instances.values()
    assert printed.item(instance, made)["busy_with"] == "another project"
    assert printed.cells(instance, made)[-1] == "used by another project"


def test_a_host_that_was_made_for_a_borrower_is_used_by_another_project() -> None:
    assert told(joined({**BUSY, "project_name": "guest"})) == ["used by another project"]


def test_a_busy_host_of_an_own_fleet_says_that_no_run_is_known() -> None:
    made = joined(BUSY)
    assert told(made) == ["no run of this project"]
    assert told(replace(made, complete=False)) == [""]


def test_where_the_host_of_a_job_is_not_known_it_may_be_any() -> None:
    waiting = answers.job(0, answers.submission(1, job_provisioning_data=None))
    run = task(1, waiting, name="train") | {"fleet": {"id": answers.ident(101), "name": "fleet-1"}}
    made = joined(BUSY, runs=(run,))
    (instance,) = made.instances.values()
    assert unseen(instance, made) is Unseen.OF_FLEET


def test_one_that_dstack_took_a_job_from_twice_is_idle() -> None:
    made = joined({**BUSY, "status": "idle", "busy_blocks": -1})
    (instance,) = made.instances.values()
    assert instance.busy_blocks == 0


def test_an_idle_host_is_used_by_nobody() -> None:
    made = joined({**BUSY, "status": "idle", "busy_blocks": 0}, lent=True)
    assert told(made) == [""]


@pytest.mark.parametrize(
    ("spec", "groups", "name"),
    [
        ({}, None, "train (task, ann)"),
        ({"job_num": 1, "jobs_per_replica": 4}, None, "train node 1 (task, ann)"),
        (
            {"job_num": 2, "jobs_per_replica": 4, "node_group_name": "trainer"},
            [{"name": "head", "nodes": 1}, {"name": "trainer", "nodes": 3}],
            "train trainer node 2 (task, ann)",
        ),
        (
            {"job_num": 2, "jobs_per_replica": 4, "node_group_name": "1"},
            [{"nodes": 1}, {"nodes": 3}],
            "train group 1 node 2 (task, ann)",
        ),
    ],
    ids=["one node", "nodes", "node groups", "node groups without names"],
)
def test_a_job_says_whose_it_is_and_which_node(
    spec: dict[str, Any], groups: list[dict[str, Any]] | None, name: str
) -> None:
    made = joined(BUSY, runs=(task(1, answers.job(0, **spec), groups=groups),))
    (job,) = made.replicas.values()
    assert job_name(job) == name


def test_instances_of_one_number_say_so() -> None:
    made = joined(BUSY, {**answers.instance(8, hostname="h8"), "instance_num": 7})
    first, second = made.instances.values()
    assert namesakes(first, made) == (second,)
    cells = instances.cells(first, made, LOOKS)
    assert plain_text(cells[-1]) == "h8 has the number 7 too"
    lone = joined(BUSY, answers.instance(8, hostname="h8"))
    assert [namesakes(each, lone) for each in lone.instances.values()] == [(), ()]


def test_a_problem_of_one_of_two_with_a_number_names_its_host() -> None:
    other = {**answers.instance(8, hostname="h8"), "instance_num": 7}
    made = joined({**BUSY, "unreachable": True}, other)
    found = [each for each in problems_of(made, answers.START) if each.text == "unreachable"]
    assert [each.subject for each in found] == ["fleet-1/7 (h7)"]


def test_what_a_target_asks_for_is_no_waste() -> None:
    idle = {"idle_since": projects.ago(minutes=9), "price": 98.32}
    kept = projects.fleet_of("idle", "idle", changes={"nodes_target": 2}, **idle)
    assert problems_of(kept, NOW) == ()
    more = projects.fleet_of("idle", "idle", "idle", changes={"nodes_target": 2}, **idle)
    assert [each.text for each in problems_of(more, NOW)] == [
        "1 instance idle above the target of 2"
    ]


def test_a_fleet_that_goes_says_so_in_the_list() -> None:
    fleet = projects.fleet("gpu", status="terminating", states={"terminating": 2})
    row = [plain_text(cell) for cell in fleets.cells(fleet, projects.project(), LOOKS)]
    assert "being deleted" in row[4]


def test_who_deletes_a_fleet_that_is_lent_learns_that_it_is_in_use() -> None:
    made = joined(BUSY, {**answers.instance(8, hostname="h8"), "status": "idle", "busy_blocks": 0})
    (fleet,) = made.fleets.values()
    (line,) = words.used_by_others(fleet, made)
    assert line.startswith("1 of 2 instances is busy with no run of this project")
    idle = joined({**BUSY, "status": "idle", "busy_blocks": 0})
    assert list(words.used_by_others(next(iter(idle.fleets.values())), idle)) == []


def used(
    message: str, second: int, *, project: str = "guest", job: str = "train-0-0"
) -> wire.Event:
    """An event of a job and of the instance of `BUSY`."""
    targets = [
        wire.EventTarget("job", answers.ident(1000 + len(job)), job, project),
        wire.EventTarget("instance", answers.as_instance(BUSY).id, "h7", answers.PROJECT),
    ]
    return wire.Event(
        f"{second}", message, answers.START + timedelta(seconds=second), None, targets
    )


ASSIGNED = "Job assigned to instance. Instance blocks: 1/1 busy"
UNASSIGNED = "Job unassigned from instance. Instance blocks: 0/1 busy"


@pytest.mark.parametrize(
    ("told_of", "runs"),
    [
        ([used(ASSIGNED, 1)], "guest/train"),
        ([used(ASSIGNED, 1), used(ASSIGNED, 2, job="train-0-10")], "guest/train"),
        ([used(ASSIGNED, 1), used(ASSIGNED, 2, project="lab", job="x-1-0")], "guest/train, lab/x"),
        ([used(ASSIGNED, 1), used(UNASSIGNED, 2)], "no run of this project"),
        ([used(UNASSIGNED, 2), used(ASSIGNED, 1)], "no run of this project"),
        ([used(ASSIGNED, 1, project=answers.PROJECT)], "no run of this project"),
    ],
)
def test_events_tell_who_of_another_project_uses_a_host(
    told_of: list[wire.Event], runs: str
) -> None:
    guests = Guests(answers.PROJECT)
    for event in told_of:
        guests.learn(event)
    made = replace(joined(BUSY), guests=guests.by_instance)
    (instance,), (fleet,) = made.instances.values(), made.fleets.values()
    assert words.runs_on(instance, made) == printed.cells(instance, made)[-1] == runs
    known = "/" in runs
    assert printed.item(instance, made)["busy_with"] == ("another project" if known else "unknown")
    assert {each["project"] for each in printed.item(instance, made)["guests"]} == {
        each.split("/")[0] for each in runs.split(", ") if known
    }
    (line,) = words.used_by_others(fleet, made)
    assert (f"busy with {runs} of another project: the server" in line) is known
