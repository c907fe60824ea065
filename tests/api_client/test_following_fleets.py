"""A change of a fleet, followed from snapshot to snapshot."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dstack_api_client.edits.follow.following import State
from dstack_api_client.edits.follow.following_fleets import (
    FleetGoal,
    fleet_progress,
    follow_fleet,
    goal_of,
)
from dstack_api_client.errors import ApiError
from dstack_api_client.model.cordon import Cordon, Occupant
from dstack_api_client.model.short_forms import Nodes
from dstack_api_client.model.snapshot import Snapshot
from tests.builders import projects
from tests.builders.fleet_edits import BUSY, edit, idle, shot
from tests.builders.fleet_plans import fleet_plan
from tests.builders.projects import NOW, fleet_of, project

GPU = next(iter(fleet_of().fleets))


def there(*states: str) -> Snapshot:
    """The fleet with an instance per state."""
    snapshot = fleet_of(*states)
    fleet = replace(snapshot.fleets[GPU], instance_ids=tuple(snapshot.instances))
    return replace(snapshot, fleets={GPU: fleet})


def state(goal: FleetGoal, snapshot: Snapshot, *, seen: bool = True) -> tuple[State, str]:
    found = fleet_progress(goal, GPU, snapshot, seen=seen)
    return found.state, " ".join(found.waiting)


def test_a_minimum_is_reached_when_as_many_are_up() -> None:
    goal = FleetGoal(3)
    assert state(goal, there("idle", "busy")) == (State.MOVING, "2 of 3 instances are up.")
    for status in ("pending", "provisioning"):
        assert state(goal, there("idle", "busy", status)) == (
            State.MOVING,
            "2 of 3 instances are up, 1 starting.",
        )
    assert state(goal, there("idle", "busy", "busy")) == (State.DONE, "")
    assert state(goal, there("idle", "busy", "busy", "provisioning")) == (State.DONE, "")


@pytest.mark.parametrize(
    ("instances", "left"),
    [
        (("idle", "idle", "idle"), 2),
        (("idle", "idle", "busy"), 2),
        (("idle", "busy", "busy"), 1),
        (("busy", "busy", "busy"), 0),
        (("idle", "terminating"), 0),
        ((), 0),
    ],
)
def test_of_those_above_the_maximum_idle_ones_have_to_end(
    instances: tuple[str, ...], left: int
) -> None:
    """Whichever of them the server takes; busy ones stay until they are idle."""
    words = {0: "", 1: "1 instance has not ended.", 2: "2 instances have not ended."}[left]
    goal = FleetGoal(greatest=1)
    assert state(goal, there(*instances)) == (State.MOVING if left else State.DONE, words)


def test_those_that_were_named_have_to_be_gone() -> None:
    snapshot = there("idle", "terminating")
    first, second = snapshot.fleets[GPU].instance_ids
    assert state(FleetGoal(ends=frozenset({second})), snapshot) == (
        State.MOVING,
        "1 instance has not ended.",
    )
    assert state(FleetGoal(ends=frozenset({"another"})), snapshot) == (State.DONE, "")
    both = FleetGoal(1, ends=frozenset({first, second}))
    words = "0 of 1 instance is up. 2 instances have not ended."
    assert state(both, snapshot) == (State.MOVING, words)


def test_a_host_that_could_not_be_set_up_has_to_leave_the_list() -> None:
    lab = projects.hosts("a", "b", up=1, failed=1)
    (fleet,) = lab.fleets.values()
    goal = FleetGoal(ends=frozenset({"i-lab-failed-0"}))
    now = fleet_progress(goal, fleet.id, lab, seen=True)
    assert (now.state, now.waiting) == (State.MOVING, ("1 instance has not ended.",))
    gone = replace(lab, fleets={fleet.id: replace(fleet, failed=())})
    assert fleet_progress(goal, fleet.id, gone, seen=True).state is State.DONE


def test_a_fleet_that_goes_comes_or_fails() -> None:
    here, away = there("idle"), project()
    assert state(FleetGoal(gone=True), here) == (State.MOVING, "The fleet is being deleted.")
    assert state(FleetGoal(gone=True), away) == (State.DONE, "")
    assert state(FleetGoal(), away, seen=False)[0] is State.MOVING
    assert state(FleetGoal(), away) == (State.FAILED, "The fleet is not there any more.")
    failed = fleet_of(changes={"status": "failed", "status_message": "no offers"})
    assert state(FleetGoal(), failed) == (State.FAILED, "The fleet failed: no offers.")


def test_what_a_plan_leads_to() -> None:
    """What no longer fits ends by name; of those above the maximum, the server chooses."""
    now = shot(idle(), idle(), BUSY)
    fewer = edit().with_nodes(Nodes(0, 0, 1))
    assert goal_of(fleet_plan(fewer, now)) == FleetGoal(0, 1)
    moved = edit().with_field("regions", ["eu-west-1"])
    goal = goal_of(fleet_plan(moved, now))
    assert goal.ends == {"i-0", "i-1"}
    more = edit().with_nodes(Nodes(2, 3, 4))
    assert goal_of(fleet_plan(more, now)) == FleetGoal(2, 4)
    assert goal_of(fleet_plan(more, now, new=True)) == FleetGoal(3, 4), (
        "a new one starts its target"
    )


def test_no_instance_is_waited_for_where_they_start_with_jobs_only() -> None:
    pods = edit(backends=["kubernetes"]).with_nodes(Nodes(2, 3, 4))
    for new in (False, True):
        assert goal_of(fleet_plan(pods, shot(), new=new)) == FleetGoal(0, 4)


def test_a_new_fleet_of_hosts_is_there_when_all_of_them_are() -> None:
    hosts: dict[str, Any] = {"ssh_config": {"hosts": ["10.0.0.1", {"hostname": "10.0.0.2"}]}}
    made = fleet_plan(edit(), shot(), new=True)
    assert goal_of(replace(made, expected={"configuration": hosts})) == FleetGoal(2)


def test_a_drain_is_done_when_nothing_is_left_and_names_what_can_not_move() -> None:
    snapshot = there("busy", "busy")
    moves = Occupant("main", "chat", "service", 1, 0, "0", "gpu-0", "move", "spot", "")
    stays = replace(moves, replica=2, action="stay", to=None, why="spot has no room")
    cordon = Cordon(GPU, "gpu", None, "ada", "", NOW, draining_since=NOW, left=(moves, stays))
    goal = FleetGoal(empties=GPU)
    none = fleet_progress(goal, GPU, snapshot, seen=False)
    assert (none.state, none.seen) == (State.MOVING, False)
    assert state(goal, snapshot) == (State.FAILED, "The drain was cancelled.")
    left = "2 jobs left: 1 on the way, 1 can't move."
    for found, expected in (
        (replace(cordon, draining_since=None), (State.FAILED, "The drain was cancelled.")),
        (cordon, (State.MOVING, f"{left} replica 2 of chat on gpu-0 stays: spot has no room.")),
        (replace(cordon, left=()), (State.DONE, "")),
    ):
        assert state(goal, replace(snapshot, cordons={GPU: found})) == expected


async def test_a_server_that_can_not_be_read_for_a_while_is_asked_again() -> None:
    answers: list[Snapshot | ApiError] = [
        there("idle"),
        ApiError("The server does not answer.", ""),
        there("idle", "busy"),
    ]

    async def read() -> Snapshot:
        answer = answers.pop(0)
        if isinstance(answer, ApiError):
            raise answer
        return answer

    async def at_once(seconds: float) -> None:
        assert seconds > 0

    plan = fleet_plan(edit().with_nodes(Nodes(2, 2, 4)), shot(idle()))
    seen = [each async for each in follow_fleet(read, plan, GPU, sleep=at_once)]
    assert [(each.state, each.trouble) for each in seen] == [
        (State.MOVING, ""),
        (State.MOVING, "The server does not answer."),
        (State.DONE, ""),
    ]
