"""New fleets: from a file or a template, planned and then created once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from dstack_api_client import errors
from dstack_api_client.clock import utc_now
from dstack_api_client.edits.base.base import Base, read_fleet
from dstack_api_client.edits.base.difference import NotInPlaceError
from dstack_api_client.edits.base.outcome import UnknownOutcomeError
from dstack_api_client.edits.errors import (
    EditError,
    InvalidEditError,
    NotAppliedError,
    ReplacedError,
)
from dstack_api_client.edits.fleet.fleets import FleetPlan, when_free
from dstack_api_client.edits.fleet.host_keys import with_keys
from dstack_api_client.edits.offers.asking import ask_fleet
from dstack_api_client.edits.outlook.warnings import PlanWarning, Risk
from dstack_api_client.edits.plan.applying import LIMIT, UNREADABLE_LIMIT, Sleep
from dstack_api_client.edits.service import texts
from dstack_api_client.edits.spec import fields
from dstack_api_client.edits.spec.configuration_file import variables
from dstack_api_client.edits.spec.views import configuration_of
from dstack_api_client.errors import UnansweredError
from dstack_api_client.model.jobs_only import jobs_only_line, no_minimum_line, with_jobs_only
from dstack_api_client.text import one_line
from dstack_api_client.transport.client import Client
from dstack_placement.engine import mapping

#: What a new fleet may begin with, by its kind.
TEMPLATES: Mapping[str, str] = {
    "cloud": """\
type: fleet
name: my-fleet
nodes: 0..4            # minimum and maximum; instances start when replicas need them
resources:
  gpu: 24GB..          # any GPU with at least this memory
spot_policy: on-demand # or spot, or auto
idle_duration: 1h      # how long an idle instance is kept; off keeps it
""",
    "ssh": """\
type: fleet
name: my-hosts
placement: cluster     # leave out when the hosts share no network
ssh_config:
  user: ubuntu
  identity_file: ~/.ssh/id_ed25519
  hosts:
    - 10.0.0.1
    - 10.0.0.2
""",
}


async def plan_new_fleet(
    client: Client, project: str, text: str, environment: Mapping[str, str]
) -> FleetPlan:
    """Plans a fleet that is not there yet.

    The keys of an SSH fleet are read from the files that it names, as dstack's own command does;
    they are in the plan's spec, which must not be shown or kept.

    Args:
        client: Where.
        project: The project's name.
        text: The configuration in YAML.
        environment: Where variables that the text only names are looked up.

    Raises:
        InvalidEditError: The text or a key can't be read, or the server does not accept it.
        NotInPlaceError: There is a fleet of that name.
        ApiError: The server could not be asked.
    """
    configuration = texts.parsed(text)
    name = configuration.get("name")
    if configuration.get("type") != "fleet" or not isinstance(name, str) or not name:
        raise InvalidEditError(["The text is not of a fleet. Write `type: fleet` and a `name`."])
    if configuration.get("env"):
        configuration["env"] = variables(configuration["env"], environment)
    configuration = await asyncio.to_thread(with_keys, configuration)
    spec = {"configuration": configuration, "profile": {"name": "default"}}
    answer = await ask_fleet(client, project, spec)
    if answer.current_resource is not None:
        raise NotInPlaceError(
            f"There is a fleet {one_line(name)} in project {one_line(project)}.",
            "Choose another name, or edit that one.",
        )
    offers = answer.plan_offers
    warnings = []
    if configuration.get("ssh_config") is None and not offers:
        warnings.append(
            PlanWarning("no-offers", Risk.WARNING, "No offer fits: nothing could be started in it.")
        )
    expected = answer.effective_spec or spec
    nodes = mapping(configuration_of(expected).get("nodes"))
    target = nodes.get("target")
    starts = (nodes.get("min") or 0) if target is None else target
    # What a profile or nobody names, the offers tell.
    named = configuration_of(expected).get("backends")
    backends = named if isinstance(named, list) else [each.backend for each in offers]
    backends = list(dict.fromkeys(map(str, backends)))
    never = with_jobs_only(backends)
    if never and starts:
        line = f"{jobs_only_line(backends)}. {no_minimum_line(nodes.get('max'))}"
        warnings.append(PlanWarning("minimum", Risk.NOTE, line))
    return FleetPlan(
        base=None,
        project=project,
        name=name,
        spec=spec,
        expected=expected,
        changes=(),
        action="create",
        offers=offers,
        starts=0 if never else starts,
        ends=(),
        warnings=tuple(warnings),
        made_at=utc_now(),
        with_jobs_only=never,
    )


async def create_fleet(
    client: Client,
    plan: FleetPlan,
    *,
    sleep: Sleep = asyncio.sleep,
    limit: float = LIMIT,
    on_send: Callable[[], None] = lambda: None,
) -> Base:
    """Creates a planned fleet; `on_send` is told just before it is sent.

    Returns:
        The fleet as it is then.

    Raises:
        EditError: There is one of that name meanwhile, or what became of it is not known.
        ReadOnlyError: The client only reads; nothing was sent.
        ApiError: The server refused it; nothing was made.
    """
    if plan.action != "create" or plan.base is not None:
        raise NotInPlaceError("This plan is not of a new fleet.", "Plan again.")
    name = one_line(plan.name)
    if await _there(client, plan) is not None:
        raise NotInPlaceError(f"There is a fleet {name} now.", "Choose another name.")
    client.refuse_read_only()
    on_send()
    answered = True
    refusal: errors.ApiError | None = None
    try:
        await when_free(lambda: client.fleets.apply(plan.project, plan.spec, None), sleep)
    except UnansweredError:
        answered = False
    except (errors.UnauthorisedError, errors.ForbiddenError, errors.NotFoundError) as error:
        answered, refusal = False, error
    loop = asyncio.get_running_loop()
    start = loop.time()
    while True:
        try:
            fleet = await _there(client, plan)
        except errors.ApiError as error:
            passes = isinstance(error, errors.CannotConnectError | errors.ServerFailedError)
            if loop.time() - start > (limit if passes else min(limit, UNREADABLE_LIMIT)):
                raise UnknownOutcomeError(
                    f"Fleet {name} was sent, and what became of it can't be read: whether it was"
                    f" made is not known. {error.message}",
                    "Look at the fleets when the server can be read again.",
                ) from error
        else:
            if fleet is not None:
                _refuse_another(plan, fleet)
                return fleet
            if refusal is not None:
                raise refusal
            if answered or loop.time() - start > limit / 4:
                raise _not_made(name)
        await sleep(0.5)


async def _there(client: Client, plan: FleetPlan) -> Base | None:
    try:
        return await read_fleet(client, plan.project, plan.name)
    except errors.NotFoundError as error:
        if not error.said_by_server:
            raise
        return None


def _refuse_another(plan: FleetPlan, fleet: Base) -> None:
    mine = configuration_of(plan.expected)
    wrong = [
        path
        for path in fields.changes(mine, fleet.configuration)
        if not {"ssh_key", "proxy_jump"}.intersection(path)
    ]
    if wrong:
        raise ReplacedError(
            f"A fleet {one_line(plan.name)} is there, but not the one that was sent.",
            "Somebody else may have made it at the same moment; look at it.",
        )


def _not_made(name: str) -> EditError:
    return NotAppliedError(
        f"Fleet {name} was sent and it is not there.", "Look at the fleets, and plan again."
    )
