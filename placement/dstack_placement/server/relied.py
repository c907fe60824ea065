"""What of dstack the add-on builds on without overriding it, checked like the overrides.

Something that dstack merely renamed would show only in the middle of placing; something that works
in another way would not show at all.
"""

from __future__ import annotations

_MODELS = "dstack._internal.core.models"
_SERVICES = "dstack._internal.server.services"
_PIPELINES = "dstack._internal.server.background.pipeline_tasks"
_SUBMITTED = f"{_PIPELINES}.jobs_submitted"
_ACTIVE = f"{_PIPELINES}.runs.active"
_ROUTERS = f"{_SERVICES}.runs.router_worker_sync"

#: Functions that the add-on calls, and classes that it makes or reads.
CALLED = (
    f"{_SUBMITTED}:_SubmittedJobContext",
    f"{_SUBMITTED}:_DeferSubmittedJobResult",
    f"{_SUBMITTED}:_TerminateSubmittedJobResult",
    f"{_ACTIVE}:ActiveContext",
    f"{_ACTIVE}:ActiveResult",
    f"{_ACTIVE}:_ReplicaAnalysis",
    f"{_PIPELINES}.runs.common:build_scale_up_job_models",
    f"{_SERVICES}.fleets:get_fleet_spec",
    f"{_SERVICES}.jobs:get_job_spec",
    f"{_SERVICES}.jobs.job_replica_http_client:get_service_replica_client",
    f"{_SERVICES}.locking:get_locker",
    f"{_SERVICES}.requirements.combine:combine_fleet_and_run_profiles",
    f"{_SERVICES}.runs.plan:get_instance_offers_in_fleet",
    f"{_SERVICES}.runs.plan:get_run_candidate_fleet_models_filters",
    f"{_SERVICES}.runs.plan:get_run_profile_and_requirements_in_fleet",
    f"{_SERVICES}.runs.replicas:get_router_replica_group",
    f"{_SERVICES}.runs.replicas:is_replica_receiving_traffic",
    f"{_ROUTERS}:_ROUTER_BASE_URL",
    f"{_ROUTERS}:_ROUTER_MAX_WORKERS_RESPONSE_BYTES",
    f"{_ROUTERS}:_ResponseTooLargeError",
    f"{_ROUTERS}:_get_worker_jobs_with_addresses",
    f"{_ROUTERS}:_request_json_limited",
)

#: Functions that dstack calls itself, whose way of working the overrides count on: which replicas
#: it stops and starts of those that it was given in the order of the lanes.
COUNTED_ON = (
    f"{_ACTIVE}:_build_scale_down_job_update_maps",
    f"{_ACTIVE}:_build_service_scaling_maps",
    f"{_ACTIVE}:_build_rolling_deployment_maps",
    f"{_ACTIVE}:_build_removed_groups_cleanup_maps",
    f"{_SERVICES}.runs.replicas:get_group_rollout_state",
)

#: Models to which the lanes are added, and the fields that are changed for it.
EXTENDED = (
    f"{_MODELS}.common:EntityReference",
    f"{_MODELS}.configurations:ReplicaGroup",
    f"{_MODELS}.profiles:FleetReferenceOrShorthand",
    f"{_MODELS}.profiles:Profile",
    f"{_MODELS}.profiles:ProfileParams.fleets",
    f"{_MODELS}.profiles:ProfilesConfig",
)

NAMES = (*CALLED, *COUNTED_ON, *EXTENDED)
