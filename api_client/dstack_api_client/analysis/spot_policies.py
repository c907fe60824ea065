"""Which spot policy is in force for a replica group, and who says so.

The rule is dstack's own (0.22.5, `_spot_policy` in `server/services/jobs/configurators/service.py`
and `merged_profile` in `core/models/runs.py`): the group's, else the service's, else the profile's,
else on-demand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from dstack_placement.engine import ServiceSpec, mapping


class SpotPolicy(str, Enum):
    """dstack's spot policies."""

    AUTO = "auto"
    ON_DEMAND = "on-demand"
    SPOT = "spot"

    def meets(self, other: SpotPolicy) -> bool:
        """Whether what one asks for the other can give."""
        return SpotPolicy.AUTO in (self, other) or self is other


class PolicySource(str, Enum):
    """Where a policy stands."""

    GROUP = "group"
    SERVICE = "service"
    PROFILE = "profile"
    DEFAULT = "default"
    """Nowhere: it is dstack's default."""


@dataclass(frozen=True, slots=True)
class PolicyInForce:
    """A spot policy and where it comes from."""

    value: SpotPolicy
    source: PolicySource


def policies_of(
    spec: Mapping[str, Any], read: ServiceSpec | None = None
) -> dict[str, tuple[PolicyInForce, Mapping[str, Any]]]:
    """The policy in force of each replica group, with the group's part of the configuration.

    A service without groups has one, with nothing of its own.

    Args:
        spec: The whole spec.
        read: Its replica groups, where they were read already.
    """
    configuration, profile = mapping(spec.get("configuration")), mapping(spec.get("profile"))
    return {
        group.name: (_in_force(group.entry, configuration, profile), group.entry)
        for group in (read or ServiceSpec.of(spec)).groups
    }


def inherited(spec: Mapping[str, Any]) -> PolicyInForce:
    """What is in force for a group that says nothing."""
    return _in_force({}, mapping(spec.get("configuration")), mapping(spec.get("profile")))


def _in_force(
    group: Mapping[str, Any], service: Mapping[str, Any], profile: Mapping[str, Any]
) -> PolicyInForce:
    for source, owner in (
        (PolicySource.GROUP, group),
        (PolicySource.SERVICE, service),
        (PolicySource.PROFILE, profile),
    ):
        policy = policy_named(owner.get("spot_policy"))
        if policy is not None:
            return PolicyInForce(policy, source)
    return PolicyInForce(SpotPolicy.ON_DEMAND, PolicySource.DEFAULT)


def policy_named(value: Any) -> SpotPolicy | None:
    """A policy by its name; None for what is none."""
    return next((policy for policy in SpotPolicy if policy.value == value), None)
