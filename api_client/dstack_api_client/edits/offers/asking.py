"""The server's plan for a spec: asked for, and read without the secrets that it repeats."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

import msgspec

from dstack_api_client.edits.errors import InvalidEditError
from dstack_api_client.edits.offers.prices import PlanOffer
from dstack_api_client.edits.spec.views import configuration_of
from dstack_api_client.errors import RefusedError, WrongShapeError
from dstack_api_client.text import one_line
from dstack_api_client.transport.client import Client
from dstack_placement.engine import ONLY_GROUP


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
    blocks: int | None = None
    total_blocks: int | None = None

    def read(self, group: str, fleet: str = "") -> PlanOffer:
        """The offer, fit to be shown."""
        return PlanOffer(
            group=one_line(group),
            backend=one_line(self.backend),
            region=one_line(self.region),
            instance=one_line(self.instance.name),
            spot=self.instance.resources.spot,
            price=self.price,
            availability=one_line(self.availability),
            fleet=fleet,
            share=self.blocks / self.total_blocks if self.blocks and self.total_blocks else 1.0,
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

    def __post_init__(self) -> None:
        _refuse_misshaped(self.effective_run_spec)

    @property
    def offers(self) -> tuple[PlanOffer, ...]:
        """What it could start, by replica group."""
        return self.offers_in("")

    @property
    def groups(self) -> tuple[str, ...]:
        """The replica groups that it plans."""
        return tuple(plan.job_spec.replica_group or ONLY_GROUP for plan in self.job_plans)

    def offers_in(self, fleet: str) -> tuple[PlanOffer, ...]:
        """The same where it was asked about one fleet."""
        return tuple(
            offer.read(plan.job_spec.replica_group or "", fleet)
            for plan in self.job_plans
            for offer in plan.offers
        )


class FleetAnswer(msgspec.Struct):
    """The server's plan for a fleet."""

    action: str | None = None
    offers: list[_Offer] = []
    effective_spec: dict[str, Any] | None = None
    current_resource: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        _refuse_misshaped(self.effective_spec)

    @property
    def plan_offers(self) -> tuple[PlanOffer, ...]:
        """What it could start."""
        return tuple(offer.read("") for offer in self.offers)


def _refuse_misshaped(spec: Mapping[str, Any] | None) -> None:
    """Refuses a spec whose configuration is none: it is what is shown, and what is stored."""
    if spec is not None and not isinstance(spec.get("configuration"), Mapping):
        raise ValueError("the spec has no configuration")


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
    body = await _asked(client.runs.plan(project, spec, offers=offers))
    return client.decode(body, _run.decode, f"the plan for {spec.get('run_name')}")


async def ask_offers(
    client: Client, project: str, spec: Mapping[str, Any], fleet: str, *, offers: int = 20
) -> RunAnswer | None:
    """Asks what the server offers each replica group in one fleet; changes nothing.

    The plan of a run tells only of the fleet that dstack would choose for a new run of all its
    replicas, and of none where they don't fit besides those that run; a question for offers alone
    has no such rule (0.22.5, `get_job_plans` in `server/services/runs/plan.py`).

    Returns:
        None where the server is too old to be asked, or refuses the question.

    Raises:
        ApiError: It could not be asked.
    """
    configuration = dict(configuration_of(spec))
    groups = configuration.get("groups")
    if isinstance(groups, list):
        configuration["groups"] = [
            {key: value for key, value in group.items() if key != "fleets"}
            if isinstance(group, Mapping)
            else group
            for group in groups
        ]
    configuration["fleets"] = [fleet]
    # Without its name it is the question for a new run, which nothing of the old one limits.
    asked = {**spec, "run_name": None, "configuration": {**configuration, "name": None}}
    try:
        body = await client.runs.plan(project, asked, offers=offers, for_offers_only=True)
    except (RefusedError, WrongShapeError):
        return None
    return client.decode(body, _run.decode, f"the offers in {fleet}")


async def ask_fleet(client: Client, project: str, spec: Mapping[str, Any]) -> FleetAnswer:
    """Asks for the plan of a fleet; changes nothing.

    Raises:
        InvalidEditError: The server does not accept the spec; it has its reasons.
        ApiError: It could not be asked.
    """
    body = await _asked(client.fleets.plan(project, spec))
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
