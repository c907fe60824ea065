"""The edit of a cloud fleet: an immutable value, as `ServiceEdit` is for services."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dstack_api_client.cleaning import one_line
from dstack_api_client.edits import fields
from dstack_api_client.edits.base import Base
from dstack_api_client.edits.errors import NotInPlaceError

#: What a cloud fleet can change in place.
IN_PLACE = (
    "nodes",
    "spot_policy",
    "reservation",
    "max_price",
    "backends",
    "regions",
    "availability_zones",
    "instance_types",
    "resources",
    "tags",
)
_CONFIGURATION = ("configuration",)


@dataclass(frozen=True, slots=True)
class Nodes:
    """How many instances a fleet has."""

    least: int
    target: int
    greatest: int | None


@dataclass(frozen=True)
class FleetEdit:
    """A cloud fleet's spec with changes; every method gives a new edit.

    Attributes:
        base: The fleet that the edit began with.
        spec: The whole spec with the changes; must not be changed.
    """

    base: Base
    spec: Mapping[str, Any]

    @classmethod
    def begin(cls, base: Base) -> FleetEdit:
        """An edit that changes nothing yet.

        Raises:
            NotInPlaceError: The fleet can't be edited; says why and what to do.
        """
        why = why_not(base)
        if why is not None:
            raise NotInPlaceError(*why)
        return cls(base, base.spec)

    @property
    def configuration(self) -> Mapping[str, Any]:
        """The spec's configuration."""
        configuration = self.spec.get("configuration")
        return configuration if isinstance(configuration, Mapping) else {}

    @property
    def nodes(self) -> Nodes:
        """The edited numbers of instances."""
        nodes = self.configuration.get("nodes") or {}
        least = nodes.get("min") or 0
        target = nodes.get("target")
        return Nodes(least, least if target is None else target, nodes.get("max"))

    @property
    def changed(self) -> bool:
        """Whether anything differs from the base."""
        return not fields.same(self.spec, self.base.spec)

    def with_nodes(self, nodes: Nodes) -> FleetEdit:
        """Changes the numbers of instances."""
        value: dict[str, Any] = {"min": nodes.least}
        if nodes.target != nodes.least:  # the server leaves out a target that is the minimum
            value["target"] = nodes.target
        return self.with_values({(*_CONFIGURATION, "nodes"): {**value, "max": nodes.greatest}})

    def with_field(self, name: str, value: Any) -> FleetEdit:
        """Changes one of the fields of `IN_PLACE` as a whole; None is the default.

        Raises:
            NotInPlaceError: The field can't be changed in place.
        """
        if name not in IN_PLACE:
            raise NotInPlaceError(
                f"`{name}` of a fleet can't be changed in place.",
                f"These can: {', '.join(IN_PLACE)}.",
            )
        configuration = {**self.configuration, name: value}
        return replace(self, spec={**self.spec, "configuration": configuration})

    def with_values(self, values: Mapping[fields.Path, Any]) -> FleetEdit:
        """Sets fields by their paths."""
        return replace(self, spec=fields.with_fields(self.spec, values))

    def problems(self) -> tuple[str, ...]:
        """What is wrong with the edit, a line each."""
        nodes = self.nodes
        found = []
        if nodes.least < 0:
            found.append(f"`min` is negative ({nodes.least}). Write 0 or more.")
        if nodes.target < nodes.least:
            found.append(
                f"`target` ({nodes.target}) is below `min` ({nodes.least}). Raise the one or lower"
                " the other."
            )
        if nodes.greatest is not None and nodes.greatest < max(nodes.target, nodes.least):
            found.append(
                f"`max` ({nodes.greatest}) is below {max(nodes.target, nodes.least)}. Raise it, or"
                " lower `min` and `target`."
            )
        if nodes.greatest is not None and nodes.greatest < 1:
            found.append("`max` has to be 1 or more. Delete the fleet if it is not needed.")
        return tuple(found)


def why_not(base: Base) -> tuple[str, str] | None:
    """Why a fleet can't be edited here and what to do, a sentence each; None where it can."""
    name = one_line(base.target.name)
    if base.configuration.get("ssh_config") is not None:
        why = "a change needs their keys, which the server does not give back"
        return f"{name} is a fleet of SSH hosts: {why}.", "Change its file and use `dstack apply`."
    if base.resource.get("project_name") != base.target.project:
        owner = one_line(str(base.resource.get("project_name")))
        return (f"{name} belongs to project {owner}.", "Edit it there.")
    return None
