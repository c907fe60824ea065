"""What an operator should know of the spot policies that an edit leaves in force."""

from __future__ import annotations

from collections.abc import Iterator

from dstack_api_client.analysis.spot_policies import (
    PolicyInForce,
    PolicySource,
    SpotPolicy,
    policy_named,
)
from dstack_api_client.edits.service.service import SERVICE, ServiceEdit
from dstack_api_client.model.fleet import Fleet
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.text import one_line

_SOURCES = {
    PolicySource.GROUP: "its own policy",
    PolicySource.SERVICE: "the service's policy",
    PolicySource.PROFILE: "the profile's policy",
    PolicySource.DEFAULT: "dstack's default",
}


def changed_policies(edit: ServiceEdit) -> tuple[str, ...]:
    """A line for each group that gets another policy than it had, though it states none."""
    before = edit.base.read.policies
    lines = []
    for name, (policy, _) in edit.read.policies.items():
        was = before.get(name)
        stated = policy.source is PolicySource.GROUP
        if was is not None and was[0].value is not policy.value and not stated:
            lines.append(
                f"{_subject(edit, name)} takes {policy.value.value} from now on,"
                f" {_SOURCES[policy.source]}."
            )
    return tuple(lines)


def barred_fleets(edit: ServiceEdit, snapshot: Snapshot) -> tuple[str, ...]:
    """A line for each fleet whose instances a group's policy rules out."""
    return tuple(dict.fromkeys(_barred(edit, snapshot)))


def _barred(edit: ServiceEdit, snapshot: Snapshot) -> Iterator[str]:
    policies = edit.read.policies
    for group in edit.groups:
        policy = policies[group.name][0] if group.name in policies else None
        if policy is None:
            continue
        for lane in edit.lanes(group.name if group.own_lanes else SERVICE):
            fleet = snapshot.fleet_named(lane.fleet)
            what = "" if fleet is None else _what_it_has(fleet, policy)
            if what:
                yield (
                    f"{_subject(edit, group.name)} takes {policy.value.value} only"
                    f" ({_SOURCES[policy.source]}), and fleet {one_line(lane.fleet)} has {what}"
                    " only: nothing of it starts there."
                )


def _what_it_has(fleet: Fleet, policy: PolicyInForce) -> str:
    """What a fleet has only, where the policy rules that out; empty where it does not."""
    if fleet.kind == "ssh":
        return "hosts of its own" if policy.value is SpotPolicy.SPOT else ""
    has = policy_named(fleet.spot_policy)
    return "" if has is None or has.meets(policy.value) else f"{has.value} instances"


def _subject(edit: ServiceEdit, group: str) -> str:
    named = any(view.named for view in edit.groups)
    label = edit.read.labels.get(group, group)
    return f"Group {one_line(label)}" if named else "The service"
