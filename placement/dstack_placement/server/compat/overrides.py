"""All functions of dstack that the add-on overrides, each wrapped and never copied.

Every wrapper but those that keep to cordons begins by calling dstack's own function when the run
has no lanes.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dstack_placement.server.compat import relied
from dstack_placement.server.errors import AddonError

_RUNS = "dstack._internal.server.services.runs"
_PIPELINES = "dstack._internal.server.background.pipeline_tasks"
_SUBMITTED = f"{_PIPELINES}.jobs_submitted"
_ACTIVE = f"{_PIPELINES}.runs.active"
_TERMINATING = f"{_PIPELINES}.jobs_terminating"
_GATEWAYS = f"{_PIPELINES}.gateway_replicas"
_CONNECTION = "dstack._internal.proxy.lib.services.service_connection"

Wrapped = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Override:
    """One overridden function.

    Attributes:
        module: Where dstack defines it.
        name: Its name there.
        wrap: Makes the wrapper of the function.
        why: Which behaviour it changes and why.
        at: Modules in which the name is replaced: those that define it or import it by its name.
    """

    module: str
    name: str
    wrap: Callable[[Wrapped], Wrapped]
    why: str
    at: tuple[str, ...]

    @property
    def function(self) -> str:
        """The function, as `shapes` names it."""
        return f"{self.module}:{self.name}"

    def install(self) -> None:
        """Puts the wrapper in the place of the function."""
        original = getattr(importlib.import_module(self.module), self.name)
        wrapper = self.wrap(original)
        for module in [importlib.import_module(name) for name in self.at]:
            if getattr(module, self.name) is not original:
                raise AddonError(
                    f"{module.__name__} has another {self.name} than {self.module}. Install the"
                    " release of dstack that the add-on supports."
                )
            setattr(module, self.name, wrapper)


def _migrate(original: Wrapped) -> Wrapped:
    async def migrate() -> None:
        from dstack_placement.server.base import tables

        await original()
        await tables.create()

    return migrate


def _routes(original: Wrapped) -> Wrapped:
    def register_routes(app: Any, *args: Any, **kwargs: Any) -> None:
        from dstack_placement.server.api import api
        from dstack_placement.server.drain import open_requests

        # Before dstack's own: the last of those takes every path that is left.
        app.include_router(api.root_router)
        app.include_router(api.project_router)
        original(app, *args, **kwargs)
        # The last is around all others.
        app.add_middleware(open_requests.CountedRequests)

    return register_routes


def _check_first(original: Wrapped) -> Wrapped:
    async def check_first(*args: Any, **kwargs: Any) -> Any:
        from dstack._internal.core.errors import ServerClientError

        from dstack_placement.server.base.faults import faults
        from dstack_placement.server.runs import specs

        # dstack passes everything by name here.
        run_spec = kwargs["run_spec"]
        name = run_spec.run_name
        with faults.guarded("checking lanes", None, name, expected=ServerClientError):
            await specs.refuse_wrong_lanes(kwargs["session"], kwargs["project"], run_spec)
        return await original(*args, **kwargs)

    return check_first


def _apply(original: Wrapped) -> Wrapped:
    async def apply_plan(*args: Any, **kwargs: Any) -> Any:
        from dstack_placement.server.assignment import applying

        return await applying.apply_plan(original, args, kwargs)

    return apply_plan


def _check_can_update(original: Wrapped) -> Wrapped:
    def check_can_update_run_spec(current_run_spec: Any, new_run_spec: Any) -> Any:
        from dstack_placement.server.assignment import planning

        return planning.check_can_update(original, current_run_spec, new_run_spec)

    return check_can_update_run_spec


def _nodes_required(original: Wrapped) -> Wrapped:
    def get_nodes_required_num(run_spec: Any) -> int:
        from dstack_placement.server.assignment import planning

        return 1 if planning.has_lanes(run_spec) else int(original(run_spec))

    return get_nodes_required_num


def _plan_candidates(original: Wrapped) -> Wrapped:
    async def _select_candidate_fleet_models(
        session: Any, project: Any, run_model: Any, run_spec: Any
    ) -> Any:
        from dstack_placement.server.assignment import planning
        from dstack_placement.server.base.faults import faults
        from dstack_placement.server.fleets import cordons

        with faults.guarded("reading cordons", run_model, run_spec.run_name):
            await cordons.begin(session)
        found = await original(
            session=session,
            project=project,
            run_model=run_model,
            run_spec=planning.with_all_fleets(run_spec),
        )
        return cordons.candidates(found)

    return _select_candidate_fleet_models


def _plan_offers(original: Wrapped) -> Wrapped:
    async def find_optimal_fleet_with_offers(**kwargs: Any) -> Any:
        from dstack_placement.server.assignment import planning

        return await planning.offers_of_lanes(original, kwargs)

    return find_optimal_fleet_with_offers


def _job_context(original: Wrapped) -> Wrapped:
    async def _load_submitted_job_context(session: Any, job_model: Any) -> Any:
        from dstack_placement.server.assignment import choosing
        from dstack_placement.server.base.faults import faults
        from dstack_placement.server.runs import specs

        context = await original(session=session, job_model=job_model)
        with faults.guarded("reading a replica's fleet", context.run_model):
            lanes = specs.lanes_of(context.run.run_spec, context.project.name)
            if lanes is not None and context.job_model.fleet is not None:
                choosing.use_fleet(context, context.job_model.fleet, lanes)
        return context

    return _load_submitted_job_context


def _assignment(original: Wrapped) -> Wrapped:
    async def _process_assignment(context: Any) -> Any:
        from dstack_placement.server.assignment import choosing
        from dstack_placement.server.base.faults import faults
        from dstack_placement.server.fleets import cordons
        from dstack_placement.server.state import other_servers

        with faults.guarded("reading cordons", context.run_model):
            await cordons.begin()
        waits, failed = None, True
        with faults.guarded("choosing a lane", context.run_model):
            waits = await choosing.choose_or_wait(context)
            failed = False
        if failed:
            with faults.guarded("noting that dstack's own rule applies", context.run_model):
                await other_servers.note_own_rule(context)
        if waits is not None:
            return waits
        assignment = await original(context=context)
        with faults.guarded("judging what a cordon keeps from it", context.run_model):
            return cordons.settled(context, assignment)
        return assignment

    return _process_assignment


def _assignment_fleets(original: Wrapped) -> Wrapped:
    async def _load_assignment_candidate_fleets(context: Any) -> Any:
        from dstack_placement.server.fleets import cordons

        return cordons.candidates(await original(context=context))

    return _load_assignment_candidate_fleets


def _instance_offers(original: Wrapped) -> Wrapped:
    def get_instance_offers_from_instances(instances: list[Any], *args: Any, **kwargs: Any) -> Any:
        from dstack_placement.server.fleets import cordons

        return original(cordons.offered(instances), *args, **kwargs)

    return get_instance_offers_from_instances


def _active_run(original: Wrapped) -> Wrapped:
    async def process_active_run(context: Any) -> Any:
        from dstack_placement.server.active_run import listed_workers
        from dstack_placement.server.base.faults import faults

        result = await by_lanes(context)
        with faults.guarded("keeping workers that its router uses", context.run_model):
            await listed_workers.keep_used(context.run_model, context.run_spec, result)
        return result

    async def by_lanes(context: Any) -> Any:
        from dstack_placement.server.active_run import running
        from dstack_placement.server.base.faults import faults
        from dstack_placement.server.moving import moves

        run_model = context.run_model
        look = None
        with faults.guarded("reading the state of its replicas", run_model):
            look = await running.look(context)
        if look is None:
            return await original(context)
        token = running.looked_at.set(look)
        try:
            result = await original(context)
        finally:
            running.looked_at.reset(token)
        untouched = moves.copy_of(result)
        with faults.guarded("moving its replicas", run_model):
            await moves.carry_out(context, look, result)
            return result
        return untouched

    return process_active_run


def _replica_analysis(original: Wrapped) -> Wrapped:
    # It is called for each replica: to import them there would take longer than all else.
    from dstack_placement.server.active_run import running
    from dstack_placement.server.base.faults import faults

    async def _analyze_active_run_replica(
        run_model: Any, replica_num: int, job_models: list[Any]
    ) -> Any:
        analysis = await original(
            run_model=run_model, replica_num=replica_num, job_models=job_models
        )
        if analysis.needs_retry or analysis.termination_reasons or faults:
            with faults.guarded("judging a replica that ended", run_model):
                await running.settle_failure(analysis)
        return analysis

    return _analyze_active_run_replica


def _replica_client(original: Wrapped) -> Wrapped:
    async def get_service_replica_client(service: Any, repo: Any, service_conn_pool: Any) -> Any:
        from dstack_placement.server.base.faults import faults
        from dstack_placement.server.drain import open_elsewhere, open_requests

        chosen = service
        with faults.guarded("counting requests", None, service.run_name):
            chosen = open_requests.with_one_replica(service)
            open_elsewhere.report()
        return await original(chosen, repo, service_conn_pool)

    return get_service_replica_client


def _termination(original: Wrapped) -> Wrapped:
    async def _process_terminating_job(job_model: Any, instance_model: Any) -> Any:
        from dstack._internal.server.background.pipeline_tasks.jobs_terminating import (
            _InstanceUpdateMap,
            _ProcessResult,
        )

        from dstack_placement.server.base.faults import faults
        from dstack_placement.server.drain import draining

        holds = False
        with faults.guarded("draining a replica", job_model.run):
            holds = await draining.holds(job_model, instance_model)
        if holds:
            # Nothing is changed; dstack comes back to it after its usual time.
            return _ProcessResult(instance_update_map=_InstanceUpdateMap())
        return await original(job_model=job_model, instance_model=instance_model)

    return _process_terminating_job


def _termination_result(original: Wrapped) -> Wrapped:
    async def _apply_process_result(**kwargs: Any) -> Any:
        from dstack_placement.server.base.faults import faults
        from dstack_placement.server.cordon import emptied

        applied = await original(**kwargs)
        with faults.guarded("judging whether a drain is over", kwargs["job_model"].run):
            await emptied.look(kwargs["result"])
        return applied

    return _apply_process_result


def _gateway_sync(original: Wrapped) -> Wrapped:
    async def _perform_state_sync(
        connection: Any,
        gateway_model: Any,
        replica_model: Any,
        run_models_by_id: Any,
        job_models_by_id: Any,
        plan: Any,
    ) -> Any:
        from dstack_placement.server.base.faults import faults
        from dstack_placement.server.drain import draining

        with faults.guarded("keeping replicas that drain", None, gateway_model.name):
            await draining.keep_at_gateway(plan)
        return await original(
            connection, gateway_model, replica_model, run_models_by_id, job_models_by_id, plan
        )

    return _perform_state_sync


def _replica_lists(original: Wrapped) -> Wrapped:
    def build_replica_lists(run_model: Any, group_filter: str | None = None) -> Any:
        from dstack_placement.server.active_run import running
        from dstack_placement.server.base.faults import faults

        active, inactive = original(run_model=run_model, group_filter=group_filter)
        ordered = active
        with faults.guarded("sorting its replicas", run_model):
            ordered = running.in_order_of_lanes(group_filter, active)
        return ordered, inactive

    return build_replica_lists


OVERRIDES = (
    Override(
        "dstack._internal.server.db",
        "migrate",
        _migrate,
        "After dstack's own migrations, the add-on's tables are created.",
        at=("dstack._internal.server.db", "dstack._internal.server.app"),
    ),
    Override(
        "dstack._internal.server.app",
        "register_routes",
        _routes,
        "The add-on's endpoints are served beside dstack's own, and requests are counted.",
        at=("dstack._internal.server.app",),
    ),
    Override(
        _RUNS,
        "get_plan",
        _check_first,
        "Lanes that can't be accepted are refused before a plan is made.",
        at=(_RUNS,),
    ),
    Override(
        _RUNS,
        "apply_plan",
        _apply,
        "Lanes that can't be accepted are refused before a run is submitted or updated; what is"
        " accepted with a warning gets an event of the run that says so.",
        at=(_RUNS,),
    ),
    Override(
        f"{_RUNS}.spec",
        "check_can_update_run_spec",
        _check_can_update,
        "`fleets` of a service with lanes, and `reclaim`, can be updated in place: replicas have"
        " fleets of their own, so the run needs no restart.",
        at=(f"{_RUNS}.spec", _RUNS),
    ),
    Override(
        f"{_RUNS}.spec",
        "get_nodes_required_num",
        _nodes_required,
        "A plan does not ask that one fleet holds all replicas of a service with lanes.",
        at=(f"{_RUNS}.plan",),
    ),
    Override(
        f"{_RUNS}.plan",
        "_select_candidate_fleet_models",
        _plan_candidates,
        "A plan considers the fleets of the groups' lanes too, not only the service's, and none"
        " that is cordoned.",
        at=(f"{_RUNS}.plan",),
    ),
    Override(
        f"{_RUNS}.plan",
        "find_optimal_fleet_with_offers",
        _plan_offers,
        "A plan shows the offers of all lanes of a group, by priority, not of one fleet.",
        at=(f"{_RUNS}.plan",),
    ),
    Override(
        _SUBMITTED,
        "_load_submitted_job_context",
        _job_context,
        "A replica that has been given a fleet is provisioned in it, not in the fleet of the run.",
        at=(_SUBMITTED,),
    ),
    Override(
        _SUBMITTED,
        "_process_assignment",
        _assignment,
        "A replica gets its fleet from the lanes, a worker only from those that its router may"
        " reach; while it fits nowhere it waits, instead of ending the run. A job of a run that has"
        " its fleet, and finds no instance because of a cordon, waits too.",
        at=(_SUBMITTED,),
    ),
    Override(
        _SUBMITTED,
        "_load_assignment_candidate_fleets",
        _assignment_fleets,
        "A job, of a run with lanes or without, is given to no fleet that is cordoned.",
        at=(_SUBMITTED,),
    ),
    Override(
        f"{_RUNS}.plan",
        "get_instance_offers_from_instances",
        _instance_offers,
        "A job, of a run with lanes or without, is given to no instance that is cordoned.",
        at=(f"{_RUNS}.plan",),
    ),
    Override(
        _ACTIVE,
        "process_active_run",
        _active_run,
        "Before a run with lanes is processed, failed starts are noted; after it, replicas move to"
        " restore a minimum, its own or that of another run, or because somebody asked for it, and"
        " stay until the new one is ready. A worker of any run with an SMG router stays until the"
        " router uses the one that comes for it.",
        at=(_ACTIVE,),
    ),
    Override(
        _ACTIVE,
        "_analyze_active_run_replica",
        _replica_analysis,
        "A replica that found or kept no capacity is started again in another lane, instead of"
        " failing the run; the surge replica of a move is not.",
        at=(_ACTIVE,),
    ),
    Override(
        f"{_RUNS}.replicas",
        "build_replica_lists",
        _replica_lists,
        "Scaling down and rolling deployments stop replicas in the order of the lanes.",
        at=(f"{_RUNS}.replicas", _ACTIVE),
    ),
    Override(
        _TERMINATING,
        "_process_terminating_job",
        _termination,
        "A replica that is to stop for scaling down, a move or a rolling deployment ends its open"
        " requests first, and its process is asked to end then.",
        at=(_TERMINATING,),
    ),
    Override(
        _TERMINATING,
        "_apply_process_result",
        _termination_result,
        "Once the last job on a drained instance or fleet has ended, an event says that it is"
        " empty.",
        at=(_TERMINATING,),
    ),
    Override(
        _GATEWAYS,
        "_perform_state_sync",
        _gateway_sync,
        "A gateway is told to forget a replica that drains when its drain has ended: it closes its"
        " tunnel then. New requests are kept away from it in another way.",
        at=(_GATEWAYS,),
    ),
    Override(
        _CONNECTION,
        "get_service_replica_client",
        _replica_client,
        "Requests through the server's own proxy are counted by replica while they are open.",
        at=(
            _CONNECTION,
            "dstack._internal.server.services.proxy.services.service_proxy",
            "dstack._internal.proxy.lib.routers.model_proxy",
        ),
    ),
)


def used() -> tuple[str, ...]:
    """All of dstack that must be as the add-on knows it, as `shapes` names it."""
    return (*(override.function for override in OVERRIDES), *relied.NAMES)


def install() -> None:
    """Puts all overrides in place. The lanes must be in dstack's models before."""
    for override in OVERRIDES:
        override.install()
