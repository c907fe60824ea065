"""The rules of dstack that the client has copies of, and the shape of each in the tested release.

`python -m tests.builders.dstack_rules` names what differs in the installed dstack, and with
`--write` keeps the shapes as they are now, once the copies were read against it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from dstack_placement.server.shapes import Shape, shape_of, shapes_in, text_of

_KEPT = Path(__file__).parent / "data" / "dstack_rules.json"
_MODELS = "dstack._internal.core.models"
_SERVICES = "dstack._internal.server.services"
_PIPELINES = "dstack._internal.server.background.pipeline_tasks"

#: By module of the client, below `dstack_api_client`: what it follows.
RULES: dict[str, tuple[str, ...]] = {
    "analysis.endings": (
        f"{_PIPELINES}.runs.active:_apply_replica_analysis",
        f"{_PIPELINES}.runs.active:_get_active_run_transition",
    ),
    "analysis.lane_input": (f"{_PIPELINES}.runs.active:process_active_run",),
    "analysis.requirements": (
        f"{_SERVICES}.instances:filter_instances",
        f"{_SERVICES}.instances:get_shared_instances_with_offers",
        f"{_SERVICES}.offers:generate_shared_offer",
        "dstack._internal.core.backends.base.offers:requirements_to_query_filter",
    ),
    "analysis.room_input": (
        f"{_SERVICES}.requirements.combine:combine_fleet_and_run_profiles",
        f"{_SERVICES}.requirements.combine:combine_fleet_and_run_requirements",
    ),
    "analysis.spot_policies": (
        f"{_SERVICES}.jobs.configurators.service:ServiceJobConfigurator._spot_policy",
        f"{_MODELS}.runs:RunSpec._merged_profile",
    ),
    "edits.plan.applying": ("dstack._internal.server.db:Database.__init__",),
    "edits.offers.asking": (f"{_SERVICES}.runs.plan:get_job_plans",),
    "edits.base.difference": (
        f"{_SERVICES}.runs.spec:_UPDATABLE_SPEC_FIELDS",
        f"{_SERVICES}.runs.spec:_TYPE_SPECIFIC_UPDATABLE_SPEC_FIELDS",
        f"{_SERVICES}.runs.spec:_CONF_UPDATABLE_FIELDS",
        f"{_SERVICES}.runs.spec:_TYPE_SPECIFIC_CONF_UPDATABLE_FIELDS",
        f"{_SERVICES}.runs.spec:_check_can_update_configuration",
        f"{_SERVICES}.runs.spec:_check_dynamo_in_place_update_compatibility",
        f"{_SERVICES}.runs.spec:_is_compatible_resources_update",
        f"{_SERVICES}.fleets:_check_can_update_fleet_spec",
        f"{_SERVICES}.fleets:_check_can_update_fleet_configuration",
        f"{_SERVICES}.fleets:_check_can_update_ssh_config",
    ),
    "edits.fleet.fleet_effects": (
        f"{_PIPELINES}.fleets:_consolidate_fleet_state_with_spec",
        f"{_PIPELINES}.fleets:_terminate_instances_not_matching_fleet_spec",
        f"{_PIPELINES}.fleets:_can_terminate_spec_mismatched_instance",
        f"{_PIPELINES}.fleets:_instance_matches_fleet_spec",
        f"{_PIPELINES}.fleets:_maintain_fleet_nodes_in_min_max_range",
    ),
    "edits.fleet.hosts": (f"{_SERVICES}.fleets:_check_can_update_ssh_config",),
    "edits.spec.defaults": (
        f"{_MODELS}.configurations:ServiceConfigurationParams",
        f"{_MODELS}.configurations:ReplicaGroup",
        f"{_MODELS}.configurations:ScalingSpec",
        f"{_MODELS}.profiles:ProfileParams",
    ),
    "edits.follow.following_ends": (f"{_PIPELINES}.runs:RunWorker.process",),
    "edits.outlook.retrying": (
        f"{_PIPELINES}.runs.active:_should_retry_job",
        f"{_PIPELINES}.runs.active:_is_retry_duration_exceeded",
        f"{_MODELS}.profiles:DEFAULT_RETRY_DURATION",
    ),
    "edits.plan.surging": (f"{_PIPELINES}.runs.active:ROLLING_DEPLOYMENT_MAX_SURGE",),
    "edits.outlook.warnings": (f"{_SERVICES}.jobs.configurators.base:JobConfigurator._probes",),
    "sentences": (
        f"{_SERVICES}.runs:emit_run_status_change_event",
        f"{_SERVICES}.jobs:switch_job_status",
        f"{_SERVICES}.instances:switch_instance_status",
        f"{_SERVICES}.runs:apply_plan",
        f"{_PIPELINES}.gateway_replicas:_emit_state_sync_events",
        f"{_PIPELINES}.instances:_emit_instance_health_change_event",
        f"{_PIPELINES}.instances:_emit_instance_reachability_change_event",
        f"{_PIPELINES}.jobs_running:_emit_readiness_change_event",
        f"{_PIPELINES}.jobs_submitted:_get_new_capacity_failure_message",
    ),
    "feed.reread": (
        f"{_SERVICES}.fleets:get_project_fleet_model_by_id",
        f"{_SERVICES}.fleets:get_project_fleet_model_by_name",
    ),
    "model.profile": (f"{_MODELS}.profiles:ProfileParams",),
    "model.retries": (f"{_MODELS}.runs:JobTerminationReason.to_retry_event",),
    "model.stranded": (f"{_PIPELINES}.jobs_submitted:_should_wait_for_run_fleet_assignment",),
    "whatif.outcome": (f"{_PIPELINES}.runs.active:_build_run_update_map",),
}


def kept() -> dict[str, Shape]:
    """The shapes of the release that the copies were read against."""
    return shapes_in(_KEPT.read_text(encoding="utf-8"))


def differences() -> list[str]:
    """What the installed dstack has otherwise, one line each with the module to be read."""
    known = kept()
    found = []
    for module, names in RULES.items():
        for name in names:
            shape = shape_of(name)
            if shape is None or shape != known.get(name):
                how = "is gone" if shape is None else "differs"
                found.append(f"{name} {how}: read dstack_api_client.{module} against it")
    return found


def _main() -> None:
    if sys.argv[1:] == ["--write"]:
        text = text_of(name for names in RULES.values() for name in names)
        _KEPT.write_text(text, encoding="utf-8")
    found = differences()
    sys.stdout.write("".join(f"{line}\n" for line in found))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    _main()
