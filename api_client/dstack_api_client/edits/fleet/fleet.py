"""The edit of a fleet: an immutable value, as `ServiceEdit` is for services.

Of a cloud fleet the numbers of instances change, and what they are made of; of an SSH fleet its
hosts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dstack_api_client.edits.base.base import Base
from dstack_api_client.edits.base.difference import NotInPlaceError
from dstack_api_client.edits.errors import InvalidEditError
from dstack_api_client.edits.fleet import hosts
from dstack_api_client.edits.fleet.hosts import Host
from dstack_api_client.edits.service.checks import MOST, FieldName, Problem
from dstack_api_client.edits.spec import fields
from dstack_api_client.edits.spec.views import configuration_of
from dstack_api_client.model.short_forms import Nodes, read_nodes, read_price
from dstack_api_client.text import one_line
from dstack_placement.engine import mapping

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
_HOSTS = (*_CONFIGURATION, "ssh_config", "hosts")
_LISTS = ("backends", "regions", "availability_zones", "instance_types")


def nodes_of(configuration: Mapping[str, Any]) -> Nodes:
    """The numbers of instances in a configuration, as the server stores it."""
    return read_nodes(configuration.get("nodes")) or Nodes(0, 0, None)


def _unreadable(configuration: Mapping[str, Any]) -> str | None:
    """The first field that is not as a server of any version has it."""
    nodes, price = configuration.get("nodes"), configuration.get("max_price")
    if nodes is not None and read_nodes(nodes) is None:
        return "nodes"
    if price is not None and read_price(price) is None:
        return "max_price"
    shapes: tuple[tuple[str, type], ...] = (("resources", Mapping), ("tags", Mapping))
    shapes += tuple((name, list) for name in _LISTS)
    return next(
        (name for name, shape in shapes if not isinstance(configuration.get(name), shape | None)),
        None,
    )


@dataclass(frozen=True)
class FleetEdit:
    """A fleet's spec with changes; every method gives a new edit.

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
        known = isinstance(base.spec.get("configuration"), Mapping)
        field = _unreadable(base.configuration) if known else "configuration"
        if field is not None:
            raise NotInPlaceError(
                f"`{field}` of {one_line(base.target.name)} is not as this client knows it.",
                "Change its file and use `dstack apply`.",
            )
        return cls(base, base.spec)

    @property
    def configuration(self) -> Mapping[str, Any]:
        """The spec's configuration."""
        return configuration_of(self.spec)

    @property
    def nodes(self) -> Nodes:
        """The edited numbers of instances."""
        return nodes_of(self.configuration)

    @property
    def is_ssh(self) -> bool:
        """Whether it is a fleet of hosts that are reached by SSH."""
        return hosts.is_ssh(self.configuration)

    @property
    def hosts(self) -> tuple[Host, ...]:
        """The edited hosts, in their order."""
        return hosts.hosts_of(self.configuration)

    @property
    def hosts_before(self) -> tuple[Host, ...]:
        """The hosts of the fleet that the edit began with."""
        return hosts.hosts_of(self.base.configuration)

    @property
    def changed(self) -> bool:
        """Whether anything differs from the base."""
        return not fields.same(self.spec, self.base.spec)

    def with_nodes(self, nodes: Nodes) -> FleetEdit:
        """Changes the numbers of instances."""
        path = (*_CONFIGURATION, "nodes")
        if nodes == nodes_of(self.base.configuration):  # in the form in which it was stored
            stored = self.base.configuration.get("nodes", fields.ABSENT)
            return self.with_values({path: stored})
        others = dict(mapping(self.configuration.get("nodes")))
        others.pop("target", None)
        value: dict[str, Any] = {**others, "min": nodes.least}
        if nodes.target != nodes.least:  # the server leaves out a target that is the minimum
            value["target"] = nodes.target
        return self.with_values({path: {**value, "max": nodes.greatest}})

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

    def with_host(self, text: str) -> FleetEdit:
        """Adds a host; one that the fleet has and the edit removed comes back as it was.

        Args:
            text: Its name, and what else is to be said of it: `10.0.0.7 port=2222`.

        Raises:
            InvalidEditError: The text can't be understood, or the host is there.
        """
        entry = hosts.host_entry(text)
        name = entry if isinstance(entry, str) else entry["hostname"]
        if any(host.name == name for host in self.hosts):
            raise InvalidEditError([f"The fleet has the host {one_line(name)} already."])
        path = (*_HOSTS, name)
        known = fields.fields_of(self.base.spec)
        if path in known:
            if isinstance(entry, dict):
                line = f"{one_line(name)} is a host of the fleet, which keeps its settings."
                raise InvalidEditError([f"{line} Apply without it first, then add it."])
            entry = known[path]
        return self.with_values({path: entry})

    def without_host(self, name: str) -> FleetEdit:
        """Removes a host."""
        return self.with_values({(*_HOSTS, name): fields.ABSENT})

    def with_values(self, values: Mapping[fields.Path, Any]) -> FleetEdit:
        """Sets fields by their paths."""
        return replace(self, spec=fields.with_fields(self.spec, values))

    def problems(self) -> tuple[Problem, ...]:
        """What is wrong; the fields are `min`, `target`, `max`, those of `IN_PLACE`, `hosts`."""
        return tuple(self._problems())

    def _problems(self) -> Iterator[Problem]:
        if self.is_ssh:
            for line in hosts.host_problems(self.configuration):
                yield _wrong("hosts", line)
            return
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
        for name, count in (
            ("min", nodes.least),
            ("target", nodes.target),
            ("max", nodes.greatest),
        ):
            if count is not None and count > MOST:
                yield _wrong(name, f"`{name}` is too large. Write {MOST} or less.")
        price = read_price(self.configuration.get("max_price"))
        if price is not None and price <= 0:
            line = f"`max_price` ({price:g}) has to be above 0. Leave it empty for no limit."
            yield _wrong("max_price", line)


def _wrong(name: str, line: str) -> Problem:
    return Problem(FieldName(name), line)


def refusal(
    name: str, configuration: Mapping[str, Any], *, owner: str, project: str
) -> tuple[str, str] | None:
    """Why a fleet can't be edited here and what to do, a sentence each; None where it can.

    Args:
        name: Its name.
        configuration: Its configuration.
        owner: The project that it belongs to.
        project: The project in which it is to be edited.
    """
    if owner != project:
        return f"{one_line(name)} belongs to project {one_line(owner)}.", "Change it there."
    if hosts.is_ssh(configuration) and (without := hosts.keyless(configuration)):
        why = f"a change needs the keys, and no file is named for that of {one_line(without[0])}"
        what = f"{one_line(name)} is a fleet of SSH hosts: {why}."
        return what, "Name it as `identity_file` in the fleet's file, and use `dstack apply`."
    return None


def why_not(base: Base) -> tuple[str, str] | None:
    """Why a fleet can't be edited here and what to do, a sentence each; None where it can."""
    return refusal(
        base.target.name,
        base.configuration,
        owner=str(base.resource.get("project_name")),
        project=base.target.project,
    )
