"""What is asked of the placement add-on about cordons and drains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dstack_api_client.model.cordon import BrokenMinimum, Cordon, DrainPlan, Occupant
from dstack_api_client.text import one_line
from dstack_api_client.transport import wire_cordons
from dstack_api_client.transport.requests import Resource
from dstack_api_client.transport.transport import in_project


class Cordons(Resource):
    """Fleets and instances that are out of service."""

    async def list(self, project: str) -> Mapping[str, Cordon]:
        """All cordons in what a project may use, by the id of the instance or the fleet."""
        answer = await self._requests.one(
            in_project(project, "placement/cordons"),
            {},
            wire_cordons.Cordons,
            f"the cordons of project {one_line(project)}",
        )
        found = (_cordon(each, project) for each in answer.cordons)
        return {each.key: each for each in found}

    async def on(self, project: str, name: str) -> Cordon | None:
        """The cordon on an instance or a fleet, as the server has it now.

        Args:
            project: The project.
            name: As `Cordon.name` has it.
        """
        cordons = await self.list(project)
        return next((each for each in cordons.values() if each.name == name), None)

    async def drain_plan(
        self, project: str, fleet: str, number: int | None, *, force: bool
    ) -> DrainPlan:
        """What a drain would do; changes nothing."""
        answer = await self._requests.one(
            in_project(project, "placement/drain_plan"),
            {**_target(fleet, number), "force": force},
            wire_cordons.Drain,
            f"the plan of a drain of {one_line(fleet)}",
        )
        return DrainPlan(
            _occupants(answer.occupants),
            tuple(
                BrokenMinimum(
                    one_line(each.run_name),
                    one_line(each.pool),
                    one_line(each.fleet),
                    each.min_replicas,
                    each.replicas,
                )
                for each in answer.broken_minimums
            ),
        )

    async def change(
        self, project: str, action: str, fleet: str, number: int | None, settings: Mapping[str, Any]
    ) -> bytes:
        """Cordons, drains or uncordons.

        Args:
            project: The project.
            action: `cordon`, `drain` or `uncordon`.
            fleet: The fleet's name.
            number: The instance's number; None for the whole fleet.
            settings: What else is sent.
        """
        return await self._requests.change(
            in_project(project, f"placement/{action}"),
            {**_target(fleet, number), **settings},
            f"the {action} of {one_line(fleet)}",
        )


def _target(fleet: str, number: int | None) -> dict[str, Any]:
    return {"fleet": fleet, "instance_num": number}


def _cordon(answer: wire_cordons.Cordon, project: str) -> Cordon:
    owner, fleet = one_line(answer.project), one_line(answer.fleet)
    return Cordon(
        key=answer.instance_id or answer.fleet_id,
        fleet=fleet if owner == project else f"{owner}/{fleet}",
        number=answer.instance_num,
        user=one_line(answer.user),
        reason=one_line(answer.reason),
        since=answer.since,
        draining_since=answer.draining_since,
        force=answer.force,
        left=_occupants(answer.left),
    )


def _occupants(answers: Iterable[wire_cordons.Occupant]) -> tuple[Occupant, ...]:
    return tuple(
        Occupant(
            project=one_line(each.project),
            run=one_line(each.run_name),
            run_type=one_line(each.run_type),
            replica=each.replica_num,
            job=each.job_num,
            group=one_line(each.group),
            instance=one_line(each.instance),
            action=one_line(each.action),
            to=None if each.to is None else one_line(each.to),
            why=one_line(each.why),
        )
        for each in answers
    )
