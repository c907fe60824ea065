"""A service's spec with all that is read of it while it is edited, each thing once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from dstack_api_client.analysis.requirements import Requirements, requirements_of
from dstack_api_client.analysis.spot_policies import PolicyInForce, policies_of
from dstack_api_client.edits.spec.group_roles import groups_in
from dstack_api_client.edits.spec.views import GroupView, configuration_of, group_view, lane_of
from dstack_api_client.model.labels import labels_of
from dstack_placement.engine import Code, Lane, LanesError, ServiceSpec, accepted


@dataclass(frozen=True, slots=True)
class Pool:
    """The lanes of one pool. Of those that name a fleet twice, the first is found by its name.

    Attributes:
        lanes: As they are listed.
        by_fleet: The same by their fleets.
        entries: By fleet, what stands in the spec; nothing of a bare name.
    """

    lanes: tuple[Lane, ...]
    by_fleet: Mapping[str, Lane]
    entries: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, entries: Sequence[Any]) -> Pool:
        """The pool of entries of `fleets`."""
        lanes = tuple(map(lane_of, entries))
        both = list(zip(lanes, entries, strict=True))
        both.reverse()
        return cls(
            lanes,
            {lane.fleet: lane for lane, _ in both},
            {lane.fleet: entry for lane, entry in both if isinstance(entry, Mapping)},
        )


class ReadSpec:
    """What a service's spec says. The spec must not be changed.

    Args:
        spec: The whole spec.
        project: The project in which the service runs.
    """

    def __init__(self, spec: Mapping[str, Any], project: str) -> None:
        self._spec = spec
        self._project = project
        self._pools: dict[str, Pool] = {}

    @cached_property
    def lanes(self) -> ServiceSpec:
        """Its replica groups and lanes."""
        return ServiceSpec.of(self._spec, project=self._project)

    @cached_property
    def judged(self) -> ServiceSpec | LanesError:
        """The same as the engine takes it, or why it does not.

        Fields of a lane that other versions know are not the engine's to judge.
        """
        wrong = (line for line in self.lanes.wrong if line.code is not Code.UNKNOWN_KEY)
        try:
            return accepted(replace(self.lanes, wrong=tuple(wrong)))
        except LanesError as error:
            return error

    @cached_property
    def groups(self) -> tuple[GroupView, ...]:
        """Its replica groups in their order."""
        configuration = configuration_of(self._spec)
        return tuple(group_view(group, configuration) for group in self.lanes.groups)

    def pool(self, name: str) -> Pool:
        """The lanes of the service, or of a group with lanes of its own."""
        found = self._pools.get(name)
        if found is None:
            found = self._pools[name] = Pool.of(self.lanes.entries(name))
        return found

    @cached_property
    def policies(self) -> dict[str, tuple[PolicyInForce, Mapping[str, Any]]]:
        """The spot policy in force of each group."""
        return policies_of(self._spec, self.lanes)

    @cached_property
    def needs(self) -> dict[str, Requirements]:
        """What each group asks for."""
        return requirements_of(self._spec, self.policies)

    @cached_property
    def labels(self) -> dict[str, str]:
        """What the groups are called, by name."""
        return labels_of(groups_in(self._spec, self.lanes))
