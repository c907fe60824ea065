"""The plan of a service in lines."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dstack_api_client.edits.base.difference import ChangeKind, FieldChange
from dstack_api_client.edits.follow.following import Progress, State
from dstack_api_client.edits.offers.prices import PlanOffer
from dstack_api_client.edits.outlook.outlooks import ReplicaOutlook
from dstack_api_client.edits.outlook.warnings import PlanWarning, Risk
from dstack_fleets_tui.editing import plan_text
from dstack_fleets_tui.output import offers, plans
from tests.builders.service_plans import plan_of, replica


def told(*replicas: ReplicaOutlook) -> list[str]:
    return [line.plain for line in plan_text.of_service(plan_of(*replicas))]


def printed(*replicas: ReplicaOutlook, plain: bool = False) -> list[str]:
    path = ("configuration", "replicas")
    changes = (
        FieldChange(path, "replicas", "replicas", "1", "2", ChangeKind.NO_RESTART, "", "dstack"),
    )
    return plans.plan_text(plan_of(*replicas, changes=changes), plain=plain).splitlines()


def regions(lines: list[str]) -> list[str]:
    return [line.split("aws ")[1].split()[0] for line in lines if "aws" in line]


def test_offers_are_of_the_groups_in_which_something_starts():
    assert regions(told(replica("decode", "move"), replica("prefill", "stay"))) == ["us-west-2"]
    assert regions(told(replica("prefill", "start"))) == ["us-east-1"]


def test_a_service_without_groups_has_its_offers():
    lines = told(replica("0", "start"))
    assert regions(lines) == ["eu-west-1", "eu-west-2"]
    assert all(line.startswith("  aws ") for line in lines if "aws" in line)


def test_offers_are_of_the_fleets_in_which_something_starts():
    """A lane that is at its maximum has offers too, and nothing is taken of them."""
    plan = plan_of(replace(replica("0", "start"), to="gpu-spot"), replica("0", "stay"))
    east, west = (offer for offer in plan.offers if offer.region.startswith("eu-west"))
    offers = (replace(east, fleet="gpu-spot"), replace(west, fleet="gpu-reserved"))
    lines = [line.plain for line in plan_text.of_service(replace(plan, offers=offers))]
    assert regions(lines) == ["eu-west-1"]


def test_where_nothing_starts_no_offers_are_shown():
    assert regions(told(replica("decode", "stop"))) == []


def test_the_printed_plan_has_the_same_offers():
    lines = printed(replica("decode", "start"))
    assert not any(line.startswith("PRIO") for line in lines), "there is no lane to show"
    at = lines.index("offers for what starts")
    words = "aws us-west-2  p5.48xlarge  spot  31.05 $/h  available"
    assert lines[at + 1] == f"  decode  {words}"
    assert regions(lines) == ["us-west-2"]
    assert regions(printed(replica("decode", "stop"))) == []
    assert "The server has no offer for what would start." in printed(replica("router", "start"))
    assert all(line.isascii() for line in printed(replica("decode", "start"), plain=True))


@pytest.mark.parametrize(
    ("group", "action", "why", "line"),
    [
        ("0", "start", "", "rolling deployment: first 1 more in gpu-spot"),
        ("decode", "start", "", "rolling deployment of group decode: first 1 more in gpu-spot"),
        ("0", "pending", "no room", "rolling deployment: 1 more has to wait: no room"),
    ],
)
def test_the_extra_replica_of_a_rollout(group: str, action: str, why: str, line: str):
    extra = replace(replica(group, action), new=True, why=why)
    path = ("configuration", "commands")
    change = FieldChange(path, "commands", "commands", "a", "b", ChangeKind.ROLLING, "", "dstack")
    plan = plan_of(replica(group, "stay"), changes=(change,))
    assert plan.dry_run is not None
    plan = replace(plan, dry_run=replace(plan.dry_run, surges=(extra,)))
    assert line in [shown.plain for shown in plan_text.of_service(plan)]
    assert line in plans.plan_text(plan).splitlines()
    (surge,) = plans.plan_item(plan)["dry_run"]["surges"]
    assert (surge["group"], surge["action"], surge["why"]) == (group, action, why)


def test_the_end_of_following_says_what_is_waited_for_or_what_failed():
    waiting = ("1 replica to start", "1 replica without room: gpu-spot has no room")
    late = plans.end_text(Progress(State.STILL_WAITING, 61.2, waiting=waiting))
    assert late.startswith(f"Not done after 61 s, still waiting for: {'; '.join(waiting)}. The")
    away = plans.end_text(Progress(State.STILL_WAITING, 61.2, trouble="No connection."))
    assert away.startswith("Not known after 61 s how far it is: No connection. The change")
    why = ("The service is terminating: job failed.", "1 replica to stop")
    failed = plans.end_text(Progress(State.FAILED, 3, waiting=why))
    on_its_way = plans.progress_text(Progress(State.MOVING, 3, waiting=why))
    assert on_its_way.endswith("The service is terminating: job failed; 1 replica to stop")
    assert plans.waiting_text(Progress(State.MOVING, 3, waiting=("1 job left.", *why))) == (
        "1 job left; The service is terminating: job failed; 1 replica to stop"
    )
    assert plans.waiting_text(Progress(State.MOVING, 3, waiting=("It is away.",))) == "It is away."
    assert not plans.waiting_text(Progress(State.MOVING, 3))
    assert (
        failed == "It failed after 3 s: The service is terminating: job failed; 1 replica to stop."
    )
    line = plans.progress_text(Progress(State.FAILED, 3, waiting=why))
    assert line.endswith("The service is terminating: job failed; 1 replica to stop")


def test_a_danger_is_told_from_a_warning_without_colours() -> None:
    found = [PlanWarning("x", Risk.DANGER, "It ends."), PlanWarning("y", Risk.WARNING, "Mind.")]
    assert [line.plain for line in plan_text.warnings(found)] == ["✗ DANGER: It ends.", "! Mind."]


def test_a_danger_is_printed_before_the_tables_and_a_warning_after_them() -> None:
    found = (PlanWarning("x", Risk.DANGER, "It ends."), PlanWarning("y", Risk.WARNING, "Mind."))
    plan = replace(plan_of(replica("decode", "start")), warnings=found)
    lines = plans.plan_text(plan).splitlines()
    assert lines[:3] == [lines[0], "", "DANGER: It ends."]
    assert lines[0].startswith("Plan for ")
    assert lines[-1] == "! Mind."


def test_what_a_warning_says_is_said_once() -> None:
    note = "Replica 2 gives way to vision."
    plan = plan_of(replica("decode", "start"))
    assert plan.dry_run is not None
    warning = PlanWarning("note", Risk.NOTE, note)
    plan = replace(plan, dry_run=replace(plan.dry_run, notes=(note,)), warnings=(warning,))
    shown = [line.plain for line in plan_text.of_service(plan)]
    assert sum(note in line for line in shown) == 1


def test_a_host_of_ones_own_is_no_offer_of_a_region() -> None:
    found = [PlanOffer("0", "remote", "remote", "instance", False, 0.0, "idle")] * 2
    (line,), left = offers.lines(found, {})
    assert (line.what, line.rest, left) == ("SSH host  0.00 $/h", "idle, 2 of them", 0)
