"""The server's plan for a spec: asked for, and read without the secrets that it repeats."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

import msgspec

from dstack_api_client.cleaning import one_line
from dstack_api_client.client import Client
from dstack_api_client.edits.errors import InvalidEditError
from dstack_api_client.edits.prices import PlanOffer
from dstack_api_client.errors import RefusedError, WrongShapeError


class _Resources(msgspec.Struct):
    spot: bool = False


class _Instance(msgspec.Struct):
    name: str = ""
    resources: _Resources = msgspec.field(default_factory=_Resources)


class _Offer(msgspec.Struct):
    price: float = 0.0
    backend: str = ""
    region: str = ""
    availability: str = ""
    instance: _Instance = msgspec.field(default_factory=_Instance)

    def read(self, group: str) -> PlanOffer:
        """The offer, fit to be shown."""
        return PlanOffer(
            group=one_line(group),
            backend=one_line(self.backend),
            region=one_line(self.region),
            instance=one_line(self.instance.name),
            spot=self.instance.resources.spot,
            price=self.price,
            availability=one_line(self.availability),
        )


class _JobSpec(msgspec.Struct):
    replica_group: str | None = None


class _JobPlan(msgspec.Struct):
    job_spec: _JobSpec
    offers: list[_Offer] = []


class RunAnswer(msgspec.Struct):
    """The server's plan for a run."""

    action: str
    job_plans: list[_JobPlan] = []
    effective_run_spec: dict[str, Any] | None = None

    @property
    def offers(self) -> tuple[PlanOffer, ...]:
        """What it could start, by replica group."""
        return tuple(
            offer.read(plan.job_spec.replica_group or "")
            for plan in self.job_plans
            for offer in plan.offers
        )


class FleetAnswer(msgspec.Struct):
    """The server's plan for a fleet."""

    action: str | None = None
    offers: list[_Offer] = []
    effective_spec: dict[str, Any] | None = None
    current_resource: dict[str, Any] | None = None

    @property
    def plan_offers(self) -> tuple[PlanOffer, ...]:
        """What it could start."""
        return tuple(offer.read("") for offer in self.offers)


_run = msgspec.json.Decoder(RunAnswer)
_fleet = msgspec.json.Decoder(FleetAnswer)


async def ask_run(
    client: Client, project: str, spec: Mapping[str, Any], *, offers: int = 20
) -> RunAnswer:
    """Asks for the plan of a run; changes nothing.

    Raises:
        InvalidEditError: The server does not accept the spec; it has its reasons.
        ApiError: It could not be asked.
    """
    body = await _asked(client.run_plan(project, spec, offers=offers))
    return client.decode(body, _run.decode, f"the plan for {spec.get('run_name')}")


async def ask_fleet(client: Client, project: str, spec: Mapping[str, Any]) -> FleetAnswer:
    """Asks for the plan of a fleet; changes nothing.

    Raises:
        InvalidEditError: The server does not accept the spec; it has its reasons.
        ApiError: It could not be asked.
    """
    body = await _asked(client.fleet_plan(project, spec))
    return client.decode(body, _fleet.decode, "the plan for the fleet")


async def _asked(answer: Awaitable[bytes]) -> bytes:
    try:
        return await answer
    except RefusedError as error:
        lines = [line for detail in error.details for line in detail.message.splitlines()]
        raise InvalidEditError(lines or [error.message]) from error
    except WrongShapeError as error:
        # Of what a model's own check says, only that is of use to people.
        said = error.message.rpartition("Value error, ")[2]
        raise InvalidEditError([f"{said[:1].upper()}{said[1:]}"]) from error
