"""Services, other runs and their jobs, made from a server's answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

import msgspec

from dstack_api_client.events.log import Awaits
from dstack_api_client.join.fleets import gpus_of
from dstack_api_client.join.locate import NONE_IMPORTED, Place, fleet_of_run
from dstack_api_client.join.logins import address_of, login_of
from dstack_api_client.model.engines import REGULAR, ROLES, ROUTER, disaggregates, engine_of
from dstack_api_client.model.gpus import Gpus
from dstack_api_client.model.pulls import Pull
from dstack_api_client.model.purchases import is_told
from dstack_api_client.model.replica import (
    FINISHED,
    NO_CAPACITY,
    Attempt,
    Probe,
    Replica,
    ReplicaKey,
)
from dstack_api_client.model.service import FleetShare, Group, OtherRun, Service
from dstack_api_client.sentences import fleet_tried
from dstack_api_client.text import one_line
from dstack_api_client.transport import wire
from dstack_api_client.transport.wire_values import LazySpec
from dstack_placement.engine import ONLY_GROUP, GroupSpec, ServiceSpec

#: What the server takes where neither a group nor its service says anything.
_DEFAULT_SPOT_POLICY = "on-demand"
#: What the server calls the `smg` router in its answers.
_LEGACY_SMG = "sglang"
NONE_NAMED: Mapping[str, str] = MappingProxyType({})
#: Words without which no replica of a service is given another's address.
_OF_ADDRESSES = (b".IP_ADDRESS", b"dynamo")


def shown_jobs(run: wire.Run) -> Iterable[tuple[wire.Job, wire.JobSubmission]]:
    """The jobs that count: those whose last submission is active or failed."""
    for job, latest in run.latest():
        if latest.status not in FINISHED or latest.status == "failed":
            yield job, latest


def run_name(run: wire.Run, spec: wire.RunSpec) -> str:
    """The name of a run."""
    return one_line(spec.run_name or spec.configuration.name or run.id)


def replica_of(
    run: wire.Run,
    spec: wire.RunSpec,
    groups: Sequence[Group],
    job: wire.Job,
    latest: wire.JobSubmission,
    place: Place,
    awaits: Awaits | None = None,
    fleets: Mapping[str, str] = NONE_NAMED,
) -> Replica:
    """Makes a replica (or another run's job) of its latest submission.

    Args:
        run: The run.
        spec: What is used of its spec.
        groups: Its replica groups, by `groups_of`.
        job: The job.
        latest: Its latest submission.
        place: Where it is.
        awaits: What it waits for before requests reach it, as far as events say.
        fleets: What fleets are called here, by the name that the server's messages have.
    """
    wanted = job.job_spec
    data = latest.job_provisioning_data
    kind = data.instance_type if data else None
    active = latest.status not in FINISHED
    probes = _probes(wanted, latest)
    passes = latest.status == "running" and all(probe.passed for probe in probes)
    group = one_line(wanted.replica_group or ONLY_GROUP)
    mine = next((each for each in groups if each.name == group), None)
    is_router = mine is not None and mine.router is not None
    routed = not is_router and any(each.router is not None for each in groups)
    unreached = (
        spec.configuration.type == "service"
        and wanted.job_num == 0
        and (
            awaits is Awaits.SERVER
            # The workers of a router are registered nowhere but there.
            or (awaits is Awaits.GATEWAY and _on_gateway(run) and not routed)
        )
    )
    return Replica(
        key=ReplicaKey(run.id, wanted.replica_num, wanted.job_num),
        run_name=run_name(run, spec),
        run_type=spec.configuration.type or "",
        group=group,
        is_router=is_router,
        job_name=one_line(wanted.job_name),
        submission_id=latest.id,
        submission_num=latest.submission_num,
        deployment_num=latest.deployment_num or 0,
        status=latest.status,
        status_message=one_line(latest.status_message or ""),
        submitted_at=latest.submitted_at,
        finished_at=latest.finished_at,
        termination_reason=latest.termination_reason,
        termination_message=_text(latest.termination_reason_message),
        exit_status=latest.exit_status,
        error=_text(latest.error),
        probes=probes,
        ready=passes and not unreached,
        unreached=passes and unreached,
        cut_off=latest.status == "running" and awaits is Awaits.HOST,
        hostname=_text(data.hostname) if data else None,
        backend=data.backend if data else None,
        region=data.region if data else None,
        spot=kind.resources.spot if kind else None,
        gpus=_share_of_gpus(latest),
        price=_price(latest) if active else None,
        instance_id=place.instance_id,
        fleet_id=place.fleet_id,
        fleet_name=place.fleet_name,
        link=place.link,
        address=address_of(spec, wanted, data),
        login=login_of(spec, job, latest) if is_router and active else None,
        earlier=_earlier(job),
        role=ROUTER if is_router and len(groups) > 1 else mine.role if mine is not None else None,
        reservation=mine.reservation if mine is not None else None,
        asked=mine.spot_policy if mine is not None and is_told(groups) else None,
        user=one_line(run.user),
        nodes=wanted.jobs_per_replica or 1,
        node_group=_node_group(spec, wanted),
        pull=_pull(latest),
        tried_in=_tried_in(latest, fleets) if place.fleet_name is None else None,
    )


def _tried_in(latest: wire.JobSubmission, fleets: Mapping[str, str]) -> str | None:
    """The fleet in which a submission found no instance: only the server's message names it."""
    if latest.termination_reason != NO_CAPACITY:
        return None
    return fleets.get(fleet_tried(latest.termination_reason_message or "") or "")


def _node_group(spec: wire.RunSpec, wanted: wire.JobSpec) -> str | None:
    """The node group of a task's job, where the task has groups."""
    if spec.configuration.type != "task" or not spec.configuration.groups:
        return None
    return one_line(wanted.node_group_name) if wanted.node_group_name else None


def _pull(latest: wire.JobSubmission) -> Pull | None:
    """How far the image is; the server keeps the last figures when the job goes on."""
    told = latest.image_pull_progress
    if told is None or latest.status != "pulling" or not told.total_bytes:
        return None
    return Pull(
        told.downloaded_bytes, told.extracted_bytes, told.total_bytes, told.is_total_bytes_final
    )


def _on_gateway(run: wire.Run) -> bool:
    """Whether requests come from a gateway; the URL of the server's own proxy is relative."""
    url = run.service.url if run.service is not None else None
    return bool(url) and not str(url).startswith("/")


def _earlier(job: wire.Job) -> tuple[Attempt, ...]:
    """The submissions before the latest; of one read with all, as many as of one in a list."""
    return tuple(
        Attempt(
            each.submitted_at,
            each.termination_reason,
            one_line(each.termination_reason_message or each.error or ""),
            each.finished_at,
            each.submission_num,
            _text(data.hostname) if (data := each.job_provisioning_data) else None,
        )
        for each in (job.job_submissions or [])[-wire.SUBMISSIONS : -1]
    )


def service_of(
    run: wire.Run,
    spec: wire.RunSpec,
    groups: Sequence[Group],
    replicas: Sequence[Replica],
    server_url: str,
    imported: Mapping[str, str] = NONE_IMPORTED,
    *,
    has_lanes: bool = False,
) -> Service:
    """Makes a service of its run and its replicas.

    Args:
        run: The run.
        spec: What is used of its spec.
        groups: Its replica groups, by `groups_of`.
        replicas: Its replicas.
        server_url: What its URL may be relative to.
        imported: The names of fleets of other projects, by id.
        has_lanes: Whether its fleets are lanes.
    """
    groups = _with_counts(groups, replicas)
    active = [replica for replica in replicas if replica.standing]
    limits = [group.replicas_max for group in groups]
    raw = LazySpec(bytes(run.run_spec))
    endpoint = run.service or wire.ServiceEndpoint()
    url = one_line(endpoint.url) if endpoint.url else None
    return Service(
        id=run.id,
        name=run_name(run, spec),
        project=one_line(run.project_name),
        user=one_line(run.user),
        status=run.status,
        status_message=one_line(run.status_message or run.status),
        error=_text(run.error),
        termination_reason=run.termination_reason,
        priority=spec.configuration.priority or 0,
        submitted_at=run.submitted_at,
        deployment_num=run.deployment_num or 0,
        at_deployment=sum(r.deployment_num == (run.deployment_num or 0) for r in active),
        active=len(active),
        running=sum(replica.status == "running" for replica in replicas),
        ready=sum(replica.ready for replica in replicas),
        replicas_min=sum(group.replicas_min for group in groups),
        replicas_max=None if None in limits else sum(limit or 0 for limit in limits),
        autoscaled=any(group.replicas_min != group.replicas_max for group in groups),
        router=next((group.router for group in groups if group.router), None),
        groups=groups,
        fleet_name=fleet_of_run(run, imported),
        shares=_shares(replicas),
        price=sum((replica.price or 0.0 for replica in replicas if replica.active), 0.0),
        url=f"{server_url}{url}" if url and url.startswith("/") else url,
        model=_text(endpoint.model.name) if endpoint.model else None,
        replica_keys=tuple(replica.key for replica in replicas),
        jobs_known=run.jobs is not None,
        spec=raw,
        spec_digest=raw.digest(),
        ended_at=_ended_at(run, replicas),
        has_lanes=has_lanes,
        on_gateway=_on_gateway(run),
        starts_at=run.next_triggered_at,
        names_addresses=any(word in raw.raw for word in _OF_ADDRESSES),
    )


def _ended_at(run: wire.Run, replicas: Sequence[Replica]) -> datetime | None:
    """When a run ended: as its jobs tell, else when the server last had to do with it."""
    if run.status not in FINISHED:
        return None
    ends = [replica.finished_at for replica in replicas if replica.finished_at is not None]
    return max(ends, default=run.last_processed_at)


def other_run_of(
    run: wire.Run,
    spec: wire.RunSpec,
    jobs: Sequence[Replica],
    imported: Mapping[str, str] = NONE_IMPORTED,
) -> OtherRun:
    """Makes a task or a dev environment of its run and its jobs."""
    return OtherRun(
        id=run.id,
        name=run_name(run, spec),
        type=spec.configuration.type or "",
        user=one_line(run.user),
        status=run.status,
        submitted_at=run.submitted_at,
        fleet_name=fleet_of_run(run, imported),
        price=sum((job.price or 0.0 for job in jobs if job.active), 0.0),
        replica_keys=tuple(job.key for job in jobs),
        status_message=one_line(run.error or run.status_message or ""),
    )


def service_spec(spec: wire.RunSpec) -> ServiceSpec:
    """What a run's spec says of replica groups and lanes."""
    profile = msgspec.structs.asdict(spec.profile) if spec.profile is not None else None
    return ServiceSpec.read(msgspec.structs.asdict(spec.configuration), profile=profile)


def groups_of(spec: wire.RunSpec, read: ServiceSpec) -> tuple[Group, ...]:
    """The replica groups of a service's configuration, nothing counted yet.

    Args:
        spec: What is used of its spec.
        read: The same, by `service_spec`.
    """
    split = any(_splits(group, spec.configuration) for group in read.named)
    made = []
    for group in read.groups:
        name = one_line(group.name)
        router = _router(group.entry.get("router") if group.named else spec.configuration.router)
        role = None
        if not group.named or not router:
            role = _role_of(group, spec.configuration, named=split)
        bought = _bought(group, spec)
        made.append(Group(name, group.least, group.greatest, router, 0, 0, 0, role, *bought))
    return tuple(made)


def _bought(group: GroupSpec, spec: wire.RunSpec) -> tuple[str, str | None]:
    """The spot policy and the reservation in force: the group's, the service's, the profile's."""
    owners = [owner for owner in (spec.configuration, spec.profile) if owner is not None]
    policies = [group.entry.get("spot_policy"), *(owner.spot_policy for owner in owners)]
    reservations = [group.entry.get("reservation"), *(owner.reservation for owner in owners)]
    return next(filter(None, map(_word, policies)), _DEFAULT_SPOT_POLICY), next(
        filter(None, map(_word, reservations)), None
    )


def _word(value: Any) -> str | None:
    return one_line(value) if isinstance(value, str) and value else None


def _splits(group: GroupSpec, configuration: wire.RunConfiguration) -> bool:
    """Whether a group's router sends each request to a prefill and a decode worker."""
    router = group.entry.get("router") or configuration.router
    return router is not None and disaggregates(router, group.entry.get("commands"))


def _role_of(group: GroupSpec, configuration: wire.RunConfiguration, *, named: bool) -> str | None:
    """What the workers of a group do.

    Args:
        group: The group.
        configuration: Where it takes from what it does not say itself.
        named: Whether its name tells where its commands don't, which may be a script's.
    """
    engine = engine_of(
        group.entry.get("commands") or configuration.commands,
        group.entry.get("entrypoint") or configuration.entrypoint,
        group.entry.get("image") or configuration.image,
    )
    if named and engine.role in (None, REGULAR) and group.name in ROLES:
        return group.name
    return engine.role


def _router(router: Any) -> str | None:
    kind = router.get("type") if isinstance(router, Mapping) else router
    if not isinstance(kind, str):
        return None
    return "smg" if kind == _LEGACY_SMG else one_line(kind)


def _with_counts(groups: Sequence[Group], replicas: Sequence[Replica]) -> tuple[Group, ...]:
    known = {group.name for group in groups}
    gone = {replica.group for replica in replicas if replica.active} - known
    return tuple(
        replace(
            group,
            active=sum(r.standing for r in replicas if r.group == group.name),
            running=sum(r.status == "running" for r in replicas if r.group == group.name),
            ready=sum(r.ready for r in replicas if r.group == group.name),
        )
        for group in (*groups, *(Group(name, 0, 0, None, 0, 0, 0) for name in sorted(gone)))
    )


def _shares(replicas: Sequence[Replica]) -> tuple[FleetShare, ...]:
    by_fleet: dict[tuple[str | None, str | None], list[Replica]] = defaultdict(list)
    for replica in replicas:
        if replica.active:
            by_fleet[replica.fleet_id, replica.fleet_name].append(replica)
    shares = [
        FleetShare(
            fleet=name,
            fleet_id=fleet_id,
            running=sum(replica.status == "running" for replica in here),
            ready=sum(replica.ready for replica in here),
            starting=sum(replica.starting for replica in here),
            stopping=sum(replica.stopping for replica in here),
            instances=len({r.instance_id for r in here if r.instance_id is not None}),
            price=sum((replica.price or 0.0 for replica in here), 0.0),
        )
        for (fleet_id, name), here in by_fleet.items()
    ]
    return tuple(sorted(shares, key=lambda s: (s.fleet is None, -s.active, s.fleet or "")))


def _probes(wanted: wire.JobSpec, latest: wire.JobSubmission) -> tuple[Probe, ...]:
    specs = wanted.probes or []
    states = latest.probes or []
    return tuple(
        Probe(
            streak=states[number].success_streak if number < len(states) else 0,
            ready_after=1 if spec.ready_after is None else spec.ready_after,
        )
        for number, spec in enumerate(specs)
    )


def _share_of_gpus(latest: wire.JobSubmission) -> Gpus | None:
    runtime = latest.job_runtime_data
    if runtime is not None and runtime.offer is not None and runtime.offer.instance is not None:
        return gpus_of(runtime.offer.instance)
    data = latest.job_provisioning_data
    if data is None or data.instance_type is None:
        return None
    whole = gpus_of(data.instance_type)
    if whole is None or runtime is None or runtime.gpu is None:
        return whole
    return replace(whole, count=runtime.gpu) if runtime.gpu else None


def _price(latest: wire.JobSubmission) -> float | None:
    data = latest.job_provisioning_data
    if data is None or data.price is None:
        return None
    offer = latest.job_runtime_data.offer if latest.job_runtime_data else None
    if offer is not None and offer.blocks and offer.total_blocks:
        return data.price * offer.blocks / offer.total_blocks
    return data.price


def _text(text: str | None) -> str | None:
    return one_line(text) if text else None
