"""What is asked of the fleets of a project, and changed in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dstack_api_client.errors import (
    ForbiddenError,
    NotFoundError,
    RefusedError,
    WrongShapeError,
)
from dstack_api_client.text import one_line
from dstack_api_client.transport import wire
from dstack_api_client.transport.records import Records
from dstack_api_client.transport.requests import Resource, begin_at
from dstack_api_client.transport.transport import in_project
from dstack_placement.engine import mapping

#: What a server answers that lends nothing, does not know how to, or does not say to whom.
_NOT_TOLD = (RefusedError, NotFoundError, ForbiddenError, WrongShapeError)


class Fleets(Resource):
    """The fleets of a server."""

    async def list(self, project: str) -> Records[wire.Fleet]:
        """All fleets of a project and those lent to it, with their instances, in one answer."""
        body = await self._requests.transport.read(
            in_project(project, "fleets/list"),
            {"include_imported": True},
            f"the fleets of project {project}",
        )
        return await self._requests.decode_list(
            body, wire.decode_fleet, f"the fleets of project {project}", wire.Fleet.parts
        )

    async def page(
        self, project: str, *, limit: int, after: tuple[datetime, str] | None = None
    ) -> Records[wire.Fleet]:
        """Some fleets of a project with their instances, newest first.

        Args:
            project: The project's name; one that can't be seen has no fleets here.
            limit: Most fleets in the answer.
            after: Time of creation and id of the fleet after which to begin.
        """
        query: dict[str, Any] = {
            "project_name": project,
            "only_active": True,
            "include_imported": True,
            "limit": limit,
            **begin_at(after, "prev_created_at", "prev_id"),
        }
        what = f"the fleets of project {project}"
        body = await self._requests.transport.read("/api/fleets/list", query, what)
        return await self._requests.decode_list(body, wire.decode_fleet, what, wire.Fleet.parts)

    async def get(
        self, project: str, *, fleet_id: str | None = None, name: str | None = None
    ) -> wire.Fleet:
        """One fleet with its instances, by its id (then a deleted one too) or its name."""
        what = f"the fleet {name or fleet_id}"
        query = {"name": name} if fleet_id is None else {"id": fleet_id}
        body = await self._requests.transport.read(in_project(project, "fleets/get"), query, what)
        return self._requests.decode(body, wire.decode_fleet, what, wire.Fleet.parts)

    async def body(self, project: str, name: str) -> bytes:
        """One fleet of a project by its name, all that the server says of it."""
        what = f"the fleet {name}"
        return await self._requests.transport.read(
            in_project(project, "fleets/get"), {"name": name}, what
        )

    async def plan(self, project: str, spec: Mapping[str, Any]) -> bytes:
        """The server's plan for a fleet's spec; changes nothing."""
        what = f"the plan for fleet {_fleet(spec)}"
        return await self._requests.transport.read(
            in_project(project, "fleets/get_plan"), {"spec": spec}, what
        )

    async def apply(
        self, project: str, spec: Mapping[str, Any], current: Mapping[str, Any] | None
    ) -> bytes:
        """Creates a fleet, or updates it in place if it still is as the caller believes.

        Args:
            project: The project's name.
            spec: The whole new spec.
            current: The fleet as the server gave it, its instances may be left out; None where
                there is none.
        """
        body = {"plan": {"spec": spec, "current_resource": current}, "force": False}
        what = f"the change of fleet {_fleet(spec)}"
        return await self._requests.change(in_project(project, "fleets/apply"), body, what)

    async def delete(self, project: str, name: str) -> None:
        """Deletes a fleet and terminates its instances; the caller has asked for confirmation."""
        body = {"names": [name]}
        what = f"the deletion of fleet {name}"
        await self._requests.change_silently(in_project(project, "fleets/delete"), body, what)

    async def delete_instances(self, project: str, name: str, numbers: Sequence[int]) -> None:
        """Terminates instances of a fleet by their numbers; the caller has asked for confirmation.

        The server refuses when one of them is in use.
        """
        body = {"name": name, "instance_nums": list(numbers)}
        what = f"the deletion of instances of fleet {name}"
        await self._requests.change_silently(
            in_project(project, "fleets/delete_instances"), body, what
        )


class Exports(Resource):
    """What projects lend each other."""

    async def borrowers(self, project: str, fleet_id: str) -> tuple[str, ...]:
        """The projects to which a fleet is lent, by name; `*` stands for all of the server.

        There are none where a server knows no exports, or does not tell.

        Args:
            project: The fleet's own project.
            fleet_id: The fleet.
        """
        what = f"what project {project} lends"
        path = in_project(project, "exports/list")
        try:
            body = await self._requests.transport.read(path, {}, what)
            found = self._requests.decode(body, wire.decode_exports, what)
        except _NOT_TOLD:
            return ()
        lent = [
            export
            for export in found
            if any(fleet.id == fleet_id for fleet in export.exported_fleets or ())
        ]
        names = {one_line(each.project_name) for export in lent for each in export.imports or ()}
        return ("*",) if any(export.is_global for export in lent) else tuple(sorted(names))


class Instances(Resource):
    """The instances of a server."""

    async def get(self, project: str, instance_id: str) -> wire.Instance:
        """One instance by its id, a terminated one too."""
        return await self._requests.one(
            in_project(project, "instances/get"),
            {"id": instance_id},
            wire.Instance,
            f"the instance {instance_id}",
        )


def _fleet(spec: Mapping[str, Any]) -> str:
    return str(mapping(spec.get("configuration")).get("name"))
