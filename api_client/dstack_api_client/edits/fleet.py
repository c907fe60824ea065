"""The edit of a cloud fleet: an immutable value, as `ServiceEdit` is for services."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dstack_api_client.cleaning import one_line
from dstack_api_client.edits import fields
from dstack_api_client.edits.base import Base
from dstack_api_client.edits.checks import FieldName, Problem
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


def nodes_of(configuration: Mapping[str, Any]) -> Nodes:
    """The numbers of instances in a configuration, as the server stores it."""
    nodes = configuration.get("nodes") or {}
    least = nodes.get("min") or 0
    target = nodes.get("target")
    return Nodes(least, least if target is None else target, nodes.get("max"))


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
        return nodes_of(self.configuration)

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

    def problems(self) -> tuple[Problem, ...]:
        """What is wrong; the fields are `min`, `target`, `max` and those of `IN_PLACE`."""
        return tuple(self._problems())

    def _problems(self) -> Iterator[Problem]:
        nodes = self.nodes
        if nodes.least < 0:
            yield _wrong("min", f"`min` is negative ({nodes.least}). Write 0 or more.")
        if nodes.target < nodes.least:
            line = f"`target` ({nodes.target}) is below `min` ({nodes.least})."
            yield _wrong("target", f"{line} Raise the one or lower the other.")
        low = max(nodes.target, nodes.least)
        if nodes.greatest is not None and nodes.greatest < low:
            line = f"`max` ({nodes.greatest}) is below {low}."
            yield _wrong("max", f"{line} Raise it, or lower `min` and `target`.")
        price = self.configuration.get("max_price")
        if price is not None and price <= 0:
            line = f"`max_price` ({price:g}) has to be above 0. Leave it empty for no limit."
            yield _wrong("max_price", line)


def _wrong(name: str, line: str) -> Problem:
    return Problem(FieldName(name), line)


def refusal(name: str, *, is_ssh: bool, owner: str, project: str) -> tuple[str, str] | None:
    """Why a fleet can't be edited here and what to do, a sentence each; None where it can.

    Args:
        name: Its name.
        is_ssh: Whether its hosts are reached by SSH.
        owner: The project that it belongs to.
        project: The project in which it is to be edited.
    """
    if owner != project:
        return f"{one_line(name)} belongs to project {one_line(owner)}.", "Change it there."
    if is_ssh:
        why = "a change needs their keys, which the server does not give back"
        what = f"{one_line(name)} is a fleet of SSH hosts: {why}."
        return what, "Change its file and use `dstack apply`."
    return None


def why_not(base: Base) -> tuple[str, str] | None:
    """Why a fleet can't be edited here and what to do, a sentence each; None where it can."""
    return refusal(
        base.target.name,
        is_ssh=base.configuration.get("ssh_config") is not None,
        owner=str(base.resource.get("project_name")),
        project=base.target.project,
    )
