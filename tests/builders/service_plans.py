"""Plans of services, with what is to become of their replicas."""

from __future__ import annotations

from datetime import datetime, timezone

from dstack_api_client.edits.base.difference import FieldChange
from dstack_api_client.edits.offers.prices import PlanOffer
from dstack_api_client.edits.outlook.outlooks import DryRun, ReplicaOutlook, Source
from dstack_api_client.edits.plan.planning import Plan
from tests.builders.service_edits import edit

OFFERS = tuple(
    PlanOffer(group, "aws", region, "p5.48xlarge", True, 31.05, "available")
    for group, region in (
        ("prefill", "us-east-1"),
        ("decode", "us-west-2"),
        ("", "eu-west-1"),
        ("0", "eu-west-2"),
    )
)


def plan_of(*replicas: ReplicaOutlook, changes: tuple[FieldChange, ...] = ()) -> Plan:
    change = edit()
    return Plan(
        edit=change,
        base=change.base,
        changes=changes,
        expected=change.spec,
        action="update",
        dry_run=DryRun(Source.SERVER, (), replicas, price_now=31.05, price_after=62.10),
        offers=OFFERS,
        warnings=(),
        made_at=datetime(2026, 5, 1, tzinfo=timezone.utc),
    )


def replica(group: str, action: str) -> ReplicaOutlook:
    return ReplicaOutlook(0, group, False, "gpu-spot", action, "gpu-spot", None, "")
