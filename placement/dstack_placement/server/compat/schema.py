"""The lanes and drains in dstack's own configuration models.

`fleets` of a run's configuration and profile takes lanes, a replica group gets `fleets` of its own,
a service gets `reclaim`, and both a service and a group get `drain`. It must be done before other
modules of dstack build their models on these.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    create_model,
    model_validator,
)
from pydantic.fields import FieldInfo

from dstack_placement.engine import LANE_FIELDS, LONGEST_DRAIN, LaneField
from dstack_placement.server.errors import AddonError

_PROFILES = "dstack._internal.core.models.profiles"
_CONFIGURATIONS = "dstack._internal.core.models.configurations"
_GROUP_FLEETS = (
    "The fleets of this group, which replace the service's `fleets` for it. Each is a fleet's name"
    " or a lane with `min_replicas`, `max_replicas` and `priority`"
)
_DRAIN = (
    "How long a replica that is to stop for scaling down, a move or a rolling deployment may take"
    " to end its open requests, at most 30 minutes. No new ones reach it meanwhile. `off` stops it"
    " at once. Defaults to `30s`"
)
_GROUP_DRAIN = f"{_DRAIN}; of a group, to what the service has"

_RECLAIM = (
    "Whether a minimum of `fleets` that finds no room takes a place from another service that holds"
    " it above its own minimum and has room in another of its fleets: `off`, from services of"
    " `lower` run priority, or from `any`. Defaults to `off`"
)

_installed = False


def install() -> None:
    """Adds lanes and drains to dstack's models; the second call does nothing.

    Raises:
        AddonError: Modules that build on these models were imported before.
    """
    global _installed
    if _installed:
        return
    if _PROFILES in sys.modules or _CONFIGURATIONS in sys.modules:
        raise AddonError(
            "dstack's configuration models are imported already, so lanes can't be added to them."
            " Import the add-on before any other module of dstack."
        )
    _extend_profiles()
    _extend_services()
    _installed = True


def _extend_profiles() -> None:
    from dstack._internal.core.models import profiles
    from dstack._internal.core.models.common import EntityReference

    class NamedFleet(EntityReference):
        """A fleet by its name, or by its project's and its own."""

        @model_validator(mode="before")
        @classmethod
        def _split_name(cls, value: Any) -> Any:
            """Takes `project/name` for a name, and keeps it as the stock server would."""
            name = value.get("name") if isinstance(value, dict) else None
            if isinstance(name, str) and value.get("project") is None and name.count("/") == 1:
                project, name = name.split("/")
                if project and name:
                    return {**value, "project": project, "name": name}
            return value

    fields: dict[str, Any] = {field.name: (_value(field), None) for field in LANE_FIELDS}
    lane: Any = create_model(
        "LaneReference",
        __base__=NamedFleet,
        __doc__="A fleet, and how many replicas of a service belong there.",
        __module__=__name__,
        **fields,
    )
    reference = Annotated[lane | str, AfterValidator(lane.parse)]
    annotation = list[reference] | None
    for model in (profiles.ProfileParams, profiles.Profile):
        field: FieldInfo = model.model_fields["fleets"]
        field.annotation = annotation
        field.description = (
            f"{field.description}. For services, a fleet may be a lane with `min_replicas`,"
            " `max_replicas` and `priority`"
        )
        model.model_rebuild(force=True)
    profiles.ProfilesConfig.model_rebuild(force=True)
    profiles.FleetReferenceOrShorthand = reference


def _value(field: LaneField) -> Any:
    """What a field of a lane takes."""
    unset = field.unset if field.default is None else f"`{field.default}`"
    kind: Any = field.kind
    return Annotated[
        kind | None,
        Field(
            description=f"For services: {field.help}. Defaults to {unset}",
            json_schema_extra={"minimum": 0},
            exclude_if=_not_set,
        ),
    ]


def _extend_services() -> None:
    from dstack._internal.core.models import configurations, profiles

    group: Any = configurations.ReplicaGroup
    fleets = list[profiles.FleetReferenceOrShorthand] | None
    _add(group, "fleets", fleets, _GROUP_FLEETS)
    _add(group, "drain", _drain(), _GROUP_DRAIN)
    group.model_rebuild(force=True)
    reclaim = Annotated[Literal["off", "lower", "any"] | None, BeforeValidator(_off)]
    for model in (configurations.ServiceConfigurationParams, configurations.ServiceConfiguration):
        _add(model, "drain", _drain(), _DRAIN)
        _add(model, "reclaim", reclaim, _RECLAIM)
    # In the order of the module: each is built on those before it.
    for value in list(vars(configurations).values()):
        if _is_model_of(value, configurations.__name__) and value is not group:
            value.model_rebuild(force=True)


def _add(model: Any, name: str, annotation: Any, description: str) -> None:
    """Adds a field to a model, which is rebuilt afterwards."""
    described: Any = Annotated[annotation, Field(description=description, exclude_if=_not_set)]
    field = FieldInfo.from_annotation(described)
    field.default = None
    model.__annotations__[name] = annotation
    model.__pydantic_fields__[name] = field


def _drain() -> Any:
    from dstack._internal.core.models.duration import OptionalOffableDuration

    return Annotated[OptionalOffableDuration, AfterValidator(_short_enough)]


def _short_enough(value: int | str | None) -> int | str | None:
    if isinstance(value, int) and value > LONGEST_DRAIN.total_seconds():
        raise ValueError("A drain is 30 minutes at most")
    return value


def _off(value: object) -> object:
    # YAML reads `off` as a boolean.
    return "off" if value is False else value


def _not_set(value: object) -> bool:
    # A service without lanes is stored and sent just as the stock server does it.
    return value is None


def _is_model_of(value: object, module: str) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel) and value.__module__ == module
