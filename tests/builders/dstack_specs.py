"""What dstack's command line and its server make of files and specs, by dstack's own code.

To load all of that takes a second, so tests import it when they run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import yaml
from dstack._internal.cli.services.configurators.run import ServiceConfigurator
from dstack._internal.core.errors import ConfigurationError, ServerClientError
from dstack._internal.core.models.configurations import parse_apply_configuration
from dstack._internal.core.models.runs import RunSpec
from dstack._internal.server.services.runs.spec import (
    check_can_update_run_spec,
    validate_run_spec_and_set_defaults,
)
from dstack._internal.utils.interpolator import InterpolatorError, VariablesInterpolator
from dstack._internal.utils.nodes_interpolator import is_valid_groups_ip_ref
from dstack.api._public.runs import RunCollection

from dstack_api_client.edits.base.base import Base, Target
from tests.builders.service_edits import base

#: What dstack raises for a file that it refuses.
REFUSED = (ConfigurationError, ValueError, InterpolatorError)


def applied(text: str, path: Path) -> Base:
    """The service that `dstack apply -f` makes of a file.

    Raises:
        ConfigurationError, ValueError, InterpolatorError: dstack refuses the file.
    """
    configuration: Any = parse_apply_configuration(yaml.safe_load(text))
    configurator = ServiceConfigurator(cast("Any", None))
    configurator.apply_args(configuration, configurator.get_parser().parse_args([]))
    RunCollection._validate_configuration_files(cast("Any", None), configuration, str(path))
    spec = _defaulted(RunSpec(run_name=configuration.name, configuration=configuration))
    known = base()
    return Base(
        Target("http://server", "main", "service", "chat"),
        known.id,
        known.status,
        known.deployment,
        spec,
        known.resource,
        known.read_at,
    )


def planned(request: httpx.Request) -> httpx.Response:
    """The server's answer to a plan."""
    spec = RunSpec.model_validate(json.loads(request.content)["run_spec"])
    answer = {"action": "update", "job_plans": [], "effective_run_spec": _defaulted(spec)}
    return httpx.Response(200, json=answer)


def filled(text: str, values: Mapping[str, Mapping[str, str]]) -> str | None:
    """A text with its references filled in; `None` where dstack refuses it."""
    interpolator = VariablesInterpolator(
        values,
        skip={"secrets": VariablesInterpolator.validate_name, "groups": is_valid_groups_ip_ref},
    )
    try:
        return interpolator.interpolate_or_error(text)
    except InterpolatorError:
        return None


def spelt_out(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The spec of a run, with each of its fields."""
    spec = RunSpec.model_validate({"run_name": "chat", "configuration": configuration})
    return dict(json.loads(spec.model_dump_json(exclude={"merged_profile"})))


def updates_in_place(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether dstack takes a new spec for a run that goes on."""
    try:
        check_can_update_run_spec(RunSpec.model_validate(old), RunSpec.model_validate(new))
    except ServerClientError:
        return False
    return True


def _defaulted(spec: RunSpec) -> dict[str, Any]:
    """A spec as the server stores it."""
    validate_run_spec_and_set_defaults(cast("Any", SimpleNamespace(ssh_public_key="key")), spec)
    return cast("dict[str, Any]", json.loads(spec.model_dump_json()))
