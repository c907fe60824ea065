"""What an edit begins with: a run or a fleet read just now, whole and as received."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

import msgspec

from dstack_api_client import errors
from dstack_api_client.clock import utc_now
from dstack_api_client.edits.errors import EndedError
from dstack_api_client.edits.spec.fields import digest
from dstack_api_client.edits.spec.read_spec import ReadSpec
from dstack_api_client.edits.spec.views import configuration_of
from dstack_api_client.model.labels import in_status
from dstack_api_client.model.replica import FINISHED, STOPPING
from dstack_api_client.text import one_line
from dstack_api_client.transport.client import Client
from dstack_placement.engine import ONLY_GROUP

#: What is edited, or (a run that is not a service) only stopped and audited.
Kind = Literal["service", "fleet", "run"]


@dataclass(frozen=True, slots=True)
class Target:
    """What is edited."""

    server: str
    """The server's address."""
    project: str
    kind: Kind
    name: str


@dataclass(frozen=True)
class Base:
    """A service's run or a fleet at one moment.

    Attributes:
        target: What it is.
        id: Its id.
        status: Its status.
        deployment: The deployment number of a run; 0 for fleets.
        spec: The whole spec as received; must not be changed.
        resource: All else that the server said, without jobs or instances.
        read_at: When it was read.
        first_group: The replica group of a run's replica 0, which may have ended; None where there
            was none yet.
    """

    target: Target
    id: str
    status: str
    deployment: int
    spec: Mapping[str, Any]
    resource: Mapping[str, Any]
    read_at: datetime
    first_group: str | None = None

    @property
    def digest(self) -> str:
        """What stands for the spec in comparisons."""
        return digest(self.spec)

    @property
    def configuration(self) -> Mapping[str, Any]:
        """The spec's configuration."""
        return configuration_of(self.spec)

    @cached_property
    def read(self) -> ReadSpec:
        """What the spec of a service says."""
        return ReadSpec(self.spec, self.target.project)

    @property
    def gone(self) -> bool:
        """Whether it has ended or is on its way to."""
        return self.status in FINISHED or self.status == STOPPING

    def refuse_gone(self) -> None:
        """Makes sure that there is something to update.

        Raises:
            EndedError: It has ended or is ending; to apply to it would start it again.
        """
        if self.gone:
            what, does = "The service", in_status(one_line(self.status))
            if self.target.kind == "fleet":
                what, does = "The fleet", "is being deleted" if self.status == STOPPING else does
            raise EndedError(
                f"{what} {one_line(self.target.name)} {does}: nothing is changed, for that would"
                " start a new one.",
                "Start it yourself with `dstack apply` if that is what you want.",
            )

    @property
    def current(self) -> dict[str, Any]:
        """What is sent back as the resource that is believed to be there."""
        key = "run_spec" if self.target.kind == "service" else "spec"
        return {**self.resource, key: self.spec}


async def read_service(client: Client, project: str, name: str) -> Base:
    """Reads a run for an edit.

    Raises:
        NotFoundError: There is none of that name.
        EndedError: It is not a service.
    """
    return service_of(client, project, await client.runs.body(project, name))


async def read_run(client: Client, project: str, name: str) -> Base:
    """Reads a run, whatever it is, to stop or delete it.

    Raises:
        NotFoundError: There is none of that name.
    """
    with _known("run", name):
        return _run_of(client, project, await client.runs.body(project, name))


@contextmanager
def _known(kind: str, name: str) -> Iterator[None]:
    """Says of what is not there that it was there before."""
    try:
        yield
    except errors.NotFoundError as error:
        if error.said_by_server:
            error.message = f"The {kind} {one_line(name)} is not there any more."
            error.hint = "Somebody may have deleted it. Look at what is there now."
        raise


def service_of(client: Client, project: str, body: bytes) -> Base:
    """Makes a base of the server's answer about a run.

    Raises:
        EndedError: It is not a service.
    """
    found = _run_of(client, project, body)
    if found.target.kind != "service":
        raise EndedError(
            f"{one_line(found.target.name)} is not a service.",
            "Name a service; tasks can't be edited here.",
        )
    return found


def _run_of(client: Client, project: str, body: bytes) -> Base:
    resource = _object(client, body, "the run")
    spec = resource.pop("run_spec", None)
    if not isinstance(spec, dict):
        spec = {}
    first_group = _group_of_first(resource.get("jobs"))
    # The server only looks at the id and the spec; jobs would be most of what is sent back.
    resource["jobs"], resource["latest_job_submission"] = [], None
    configuration = spec.get("configuration")
    is_service = isinstance(configuration, dict) and configuration.get("type") == "service"
    name = str(spec.get("run_name") or "")
    return Base(
        target=Target(client.url, project, "service" if is_service else "run", name),
        id=str(resource.get("id")),
        status=str(resource.get("status")),
        deployment=_number(resource.get("deployment_num")),
        spec=spec,
        resource=resource,
        read_at=utc_now(),
        first_group=first_group,
    )


def _group_of_first(jobs: Any) -> str | None:
    """The replica group of replica 0 among a run's jobs."""
    for job in jobs if isinstance(jobs, list) else ():
        spec = job.get("job_spec") if isinstance(job, Mapping) else None
        if isinstance(spec, Mapping) and spec.get("replica_num") == 0:
            return str(spec.get("replica_group") or ONLY_GROUP)
    return None


async def read_fleet(client: Client, project: str, name: str) -> Base:
    """Reads a fleet for an edit.

    Raises:
        NotFoundError: There is none of that name.
    """
    return fleet_of(client, project, await client.fleets.body(project, name))


def fleet_of(client: Client, project: str, body: bytes) -> Base:
    """Makes a base of the server's answer about a fleet."""
    resource = _object(client, body, "the fleet")
    spec = resource.pop("spec", None)
    resource["instances"] = []
    return Base(
        target=Target(client.url, project, "fleet", str(resource.get("name"))),
        id=str(resource.get("id")),
        status=str(resource.get("status")),
        deployment=0,
        spec=spec if isinstance(spec, dict) else {},
        resource=resource,
        read_at=utc_now(),
    )


async def read_base(client: Client, target: Target) -> Base:
    """Reads again what an edit is about."""
    with _known(target.kind, target.name):
        if target.kind == "service":
            return await read_service(client, target.project, target.name)
        return await read_fleet(client, target.project, target.name)


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _object(client: Client, body: bytes, what: str) -> dict[str, Any]:
    # Not cleaned: what is sent back must be what was received.
    return client.decode(body, _with_id, what)


def _with_id(body: bytes) -> dict[str, Any]:
    """An answer without an id would be taken for one of something else that came instead."""
    resource: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    if not isinstance(resource.get("id"), str):
        raise msgspec.ValidationError("it has no id")
    return resource
