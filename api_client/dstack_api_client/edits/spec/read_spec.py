"""A service's spec with all that is read of it while it is edited, each thing once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from dstack_api_client.analysis.requirements import Requirements, requirements_of
from dstack_api_client.analysis.spot_policies import PolicyInForce, policies_of
from dstack_api_client.edits.spec.group_roles import groups_in
from dstack_api_client.model.labels import labels_of
from dstack_placement.engine import Code, LanesError, ServiceSpec, accepted


class ReadSpec:
    """What a service's spec says. The spec must not be changed.

    Args:
        spec: The whole spec.
        project: The project in which the service runs.
    """

    def __init__(self, spec: Mapping[str, Any], project: str) -> None:
        self._spec = spec
        self._project = project

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
