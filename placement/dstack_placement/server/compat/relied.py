"""What of dstack the add-on builds on without overriding it, checked like the overrides.

Something that dstack merely renamed would show only in the middle of placing; something that works
in another way would not show at all.
"""

from __future__ import annotations

_CORE = "dstack._internal.core"
_MODELS = f"{_CORE}.models"
_SERVER = "dstack._internal.server"
_SERVICES = f"{_SERVER}.services"
_PIPELINES = f"{_SERVER}.background.pipeline_tasks"
_SUBMITTED = f"{_PIPELINES}.jobs_submitted"
_ACTIVE = f"{_PIPELINES}.runs.active"
_GATEWAYS = f"{_PIPELINES}.gateway_replicas"
_TERMINATING = f"{_PIPELINES}.jobs_terminating"
_ROUTERS = f"{_SERVICES}.runs.router_worker_sync"
_UTILS = "dstack._internal.utils"

#: Functions that the add-on calls, and classes that it makes or reads.
CALLED = (
    f"{_SUBMITTED}:_SubmittedJobContext",
    f"{_SUBMITTED}:_DeferSubmittedJobResult",
    f"{_SUBMITTED}:_NewCapacityAssignment",
    f"{_SUBMITTED}:_NoFleetAssignment",
    f"{_SUBMITTED}:_TerminateSubmittedJobResult",
    f"{_ACTIVE}:ActiveContext",
    f"{_ACTIVE}:ActiveResult",
    f"{_ACTIVE}:_ReplicaAnalysis",
    f"{_CORE}.services.ssh.tunnel:SSHTunnel.aexec",
    f"{_GATEWAYS}:_StateSyncPlan",
    f"{_TERMINATING}:_InstanceUpdateMap",
    f"{_TERMINATING}:_ProcessResult",
    f"{_PIPELINES}.runs.common:build_scale_up_job_models",
    f"{_PIPELINES}.service_router_worker_sync:ServiceRouterWorkerSyncPipeline",
    f"{_PIPELINES}.service_router_worker_sync:ServiceRouterWorkerSyncPipeline.__init__",
    f"{_SERVICES}.events:AnyActor",
    f"{_SERVICES}.events:SystemActor",
    f"{_SERVICES}.events:Target",
    f"{_SERVICES}.events:Target.from_model",
    f"{_SERVICES}.events:UserActor",
    f"{_SERVICES}.events:UserActor.from_user",
    f"{_SERVICES}.events:emit",
    f"{_SERVICES}.fleets:can_create_new_cloud_instance_in_fleet",
    f"{_SERVICES}.fleets:get_fleet_spec",
    f"{_SERVICES}.gateways.connection:GatewayConnection",
    f"{_SERVICES}.gateways.pool:GatewayConnectionsPool.all",
    f"{_SERVICES}.gateways.pool:GatewayConnectionsPool.get_or_add",
    f"{_SERVICES}.gateways.pool:gateway_connections_pool",
    f"{_SERVICES}.jobs:get_instances_ids_with_detaching_volumes",
    f"{_SERVICES}.jobs:get_job_runtime_data",
    f"{_SERVICES}.jobs:get_job_spec",
    f"{_SERVICES}.jobs.job_replica_http_client:get_service_replica_client",
    f"{_SERVICES}.locking:get_locker",
    f"{_SERVICES}.locking:string_to_lock_id",
    f"{_SERVICES}.logging:fmt",
    f"{_SERVICES}.requirements.combine:combine_fleet_and_run_profiles",
    f"{_SERVICES}.runs:get_run_spec",
    f"{_SERVICES}.runs.plan:get_instance_offers_in_fleet",
    f"{_SERVICES}.runs.plan:get_run_profile_and_requirements_in_fleet",
    f"{_SERVICES}.runs.replicas:get_router_replica_group",
    f"{_SERVICES}.runs.replicas:is_replica_receiving_traffic",
    f"{_ROUTERS}:_ROUTER_BASE_URL",
    f"{_ROUTERS}:_ROUTER_MAX_WORKERS_RESPONSE_BYTES",
    f"{_ROUTERS}:_ResponseTooLargeError",
    f"{_ROUTERS}:_get_worker_jobs_with_addresses",
    f"{_ROUTERS}:_remove_worker_from_router",
    f"{_ROUTERS}:_request_json_limited",
    f"{_SERVER}.bootstrap:set_up_process",
    f"{_SERVER}.db:get_db",
    f"{_SERVER}.db:get_session",
    f"{_SERVER}.db:get_session_ctx",
    f"{_SERVER}.security.permissions:Authenticated",
    f"{_SERVER}.security.permissions:ProjectMember",
    f"{_SERVER}.utils.routers:CustomJSONResponse",
    f"{_SERVER}.utils.routers:get_base_api_additional_responses",
    f"{_SERVER}.utils.routers:get_server_client_error_details",
    f"{_UTILS}.common:get_current_datetime",
    f"{_UTILS}.logging:get_logger",
)

#: Models and enumerations that it reads, and errors that it raises or catches.
READ = (
    "dstack._internal.proxy.lib.models:Service",
    f"{_CORE}.errors:ResourceNotExistsError",
    f"{_CORE}.errors:SSHError",
    f"{_CORE}.errors:ServerClientError",
    f"{_CORE}.services.diff:ModelFieldDiff",
    f"{_MODELS}.backends.base:BackendType",
    f"{_MODELS}.common:CoreModel",
    f"{_MODELS}.common:validate_json_extra_ignore",
    f"{_MODELS}.configurations:ServiceConfiguration",
    f"{_MODELS}.configurations:ServiceConfiguration.replica_groups",
    f"{_MODELS}.configurations:ServiceConfigurationParams",
    f"{_MODELS}.duration:OptionalOffableDuration",
    f"{_MODELS}.fleets:FleetSpec",
    f"{_MODELS}.gateways:GatewayReplicaStatus",
    f"{_MODELS}.health:HealthStatus.is_failure",
    f"{_MODELS}.instances:InstanceStatus",
    f"{_MODELS}.instances:InstanceStatus.is_active",
    f"{_MODELS}.profiles:CreationPolicy",
    f"{_MODELS}.profiles:SpotPolicy",
    f"{_MODELS}.resources:Range",
    f"{_MODELS}.routers:RouterType",
    f"{_MODELS}.runs:Job",
    f"{_MODELS}.runs:JobSpec",
    f"{_MODELS}.runs:JobStatus",
    f"{_MODELS}.runs:JobStatus.finished_statuses",
    f"{_MODELS}.runs:JobTerminationReason",
    f"{_MODELS}.runs:Requirements",
    f"{_MODELS}.runs:Run",
    f"{_MODELS}.runs:RunSpec",
    f"{_MODELS}.runs:RunStatus",
    f"{_MODELS}.runs:RunStatus.finished_statuses",
    f"{_SERVER}.models:BackendModel",
    f"{_SERVER}.models:ExportedFleetModel",
    f"{_SERVER}.models:FleetModel",
    f"{_SERVER}.models:GatewayModel",
    f"{_SERVER}.models:GatewayReplicaModel",
    f"{_SERVER}.models:ImportModel",
    f"{_SERVER}.models:InstanceModel",
    f"{_SERVER}.models:JobMetricsPoint",
    f"{_SERVER}.models:JobModel",
    f"{_SERVER}.models:NaiveDateTime",
    f"{_SERVER}.models:PipelineModelMixin",
    f"{_SERVER}.models:ProjectModel",
    f"{_SERVER}.models:RunModel",
    f"{_SERVER}.models:ServiceRouterWorkerSyncModel",
    f"{_SERVER}.models:UserModel",
)

#: Functions that dstack calls itself, whose way of working the overrides count on: which replicas
#: it stops and starts of those that it was given in the order of the lanes, which instances it
#: takes to be free, and what it reads of them for that.
COUNTED_ON = (
    "dstack._internal.proxy.gateway.const:SERVICE_SCALING_WINDOWS",
    "dstack._internal.proxy.gateway.schemas.stats:Stat",
    "dstack._internal.proxy.gateway.services.nginx:ReplicaConfig",
    "dstack._internal.proxy.gateway.services.nginx:NGINX_DIR",
    "dstack._internal.proxy.gateway.services.registry:apply_service",
    "dstack._internal.proxy.lib.services.service_connection:ServiceConnection.__init__",
    f"{_ACTIVE}:_build_scale_down_job_update_maps",
    f"{_ACTIVE}:_build_service_scaling_maps",
    f"{_ACTIVE}:_build_rolling_deployment_maps",
    f"{_ACTIVE}:_build_removed_groups_cleanup_maps",
    f"{_GATEWAYS}:_plan_state_sync",
    f"{_SERVICES}.gateways.connection:GatewayConnection.__init__",
    f"{_SERVICES}.gateways.connection:GatewayConnection.try_collect_stats",
    f"{_SERVICES}.proxy.services.service_proxy:proxy",
    f"{_SERVICES}.proxy.services.service_proxy:stream_response",
    f"{_SERVICES}.instances:filter_instances",
    f"{_SERVICES}.instances:get_instance_offer",
    f"{_SERVICES}.instances:get_instance_provisioning_data",
    f"{_SERVICES}.instances:get_shared_instances_with_offers",
    f"{_SERVICES}.instances:instance_matches_constraints",
    f"{_SERVICES}.jobs.configurators.base:JobConfigurator._requirements",
    f"{_SERVICES}.jobs.configurators.service:ServiceJobConfigurator._reservation",
    f"{_SERVICES}.jobs.configurators.service:ServiceJobConfigurator._spot_policy",
    f"{_SERVICES}.runs.plan:_exclude_non_available_instance_offers",
    f"{_SERVICES}.runs.plan:_get_offers_from_instances",
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

#: What is imported and not checked, and why.
EXCUSED = {
    "dstack._internal.cli.main:main": "It is called at once, and changes with every command.",
    f"{_MODELS}.configurations:__name__": "Every module has one.",
    f"{_MODELS}.profiles:ProfileParams": "All that is touched of it is `fleets`, which is checked.",
}

NAMES = (*CALLED, *READ, *COUNTED_ON, *EXTENDED)
