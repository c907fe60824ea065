"""What a replica of a group needs, where no job of the group tells."""

from __future__ import annotations

from collections.abc import Mapping

import gpuhunt
from dstack._internal.core.models.configurations import ReplicaGroup, ServiceConfiguration
from dstack._internal.core.models.profiles import SpotPolicy
from dstack._internal.core.models.runs import Job, JobSpec, Requirements, RunSpec


def of_groups(run_spec: RunSpec, known: Mapping[str, Job]) -> dict[str, Job]:
    """A job of each group of a service: one that is there, else one made of the spec.

    Args:
        run_spec: The run's spec.
        known: Jobs that are there, by group.
    """
    configuration = run_spec.configuration
    if not isinstance(configuration, ServiceConfiguration):
        return {**known}
    groups = {str(group.name): group for group in configuration.replica_groups}
    made = {
        name: _sample(run_spec, configuration, name, group)
        for name, group in groups.items()
        if name not in known
    }
    return {**made, **known}


def _sample(
    run_spec: RunSpec, configuration: ServiceConfiguration, name: str, group: ReplicaGroup
) -> Job:
    """A job with what instances are compared with, as dstack's own configurator has it.

    That one asks the image's registry for its architectures where there is an image of the user's.
    """
    profile = run_spec.merged_profile
    resources = group.resources.model_copy(deep=True)
    if resources.cpu.arch is None and (group.image or configuration.image) is None:
        resources.cpu.arch = gpuhunt.CPUArchitecture.X86
    spot = group.spot_policy or profile.spot_policy or SpotPolicy.ONDEMAND
    spec = JobSpec(
        job_num=0,
        job_name=name,
        replica_group=name,
        commands=[],
        env={},
        image_name="",
        requirements=Requirements(
            resources=resources,
            max_price=profile.max_price,
            spot=None if spot is SpotPolicy.AUTO else spot is SpotPolicy.SPOT,
            reservation=group.reservation or profile.reservation,
            multinode=False,
            backend_options=profile.backend_options,
        ),
    )
    return Job(job_spec=spec, job_submissions=[])
