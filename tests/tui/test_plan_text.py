"""The plan of a service in lines."""

from __future__ import annotations

from datetime import datetime, timezone

from dstack_api_client.edits.dryrun import DryRun, ReplicaOutlook, Source
from dstack_api_client.edits.planning import Plan
from dstack_api_client.edits.prices import PlanOffer
from dstack_fleets_tui.editing import plan_text
from tests.api_client.edit_things import edit

OFFERS = tuple(
    PlanOffer(group, "aws", region, "p5.48xlarge", True, 31.05, "available")
    for group, region in (("prefill", "us-east-1"), ("decode", "us-west-2"), ("", "eu-west-1"))
)


def told(*replicas: ReplicaOutlook) -> list[str]:
    change = edit()
    plan = Plan(
        edit=change,
        base=change.base,
        changes=(),
        expected=change.spec,
        action="update",
        dry_run=DryRun(Source.SERVER, (), replicas),
        offers=OFFERS,
        warnings=(),
        made_at=datetime(2026, 5, 1, tzinfo=timezone.utc),
    )
    return [line.plain for line in plan_text.of_service(plan)]


def replica(group: str, action: str) -> ReplicaOutlook:
    return ReplicaOutlook(0, group, False, "gpu-spot", action, "gpu-spot", None, "")


def regions(lines: list[str]) -> list[str]:
    return [line.split("aws ")[1].split()[0] for line in lines if "aws" in line]


def test_offers_are_of_the_groups_in_which_something_starts():
    assert regions(told(replica("decode", "move"), replica("prefill", "stay"))) == ["us-west-2"]
    assert regions(told(replica("prefill", "start"))) == ["us-east-1"]


def test_a_service_without_groups_has_its_offers():
    assert regions(told(replica("0", "start"))) == ["eu-west-1"]


def test_where_nothing_starts_no_offers_are_shown():
    assert regions(told(replica("decode", "stop"))) == []
