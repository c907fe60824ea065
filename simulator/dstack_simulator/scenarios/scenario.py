"""Scenarios: what exists outside the server, and what is applied to it, read from YAML files."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dstack_simulator.errors import ScenarioError

Health = Literal["healthy", "warning", "failure"]
Pace = Literal["real", "quick"]

#: Puts the placement add-on into the process that imports it.
ADDON = "dstack_placement.server.autoload"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Gpu(_Strict):
    """The accelerators of one machine, all of one kind."""

    name: str
    memory_gib: int = Field(gt=0)
    count: int = Field(gt=0)
    vendor: str = "nvidia"


class Machine(_Strict):
    """What a host or an instance type consists of."""

    cpus: int = Field(gt=0)
    memory_gib: int = Field(gt=0)
    disk_gib: int = Field(gt=0, default=1000)
    gpu: Gpu | None = None


class Hosts(Machine):
    """Emulated hosts for SSH fleets: `name-1` to `name-COUNT`, or `name` alone.

    A fleet's `ssh_config.hosts` names them; address, port and key are filled in on applying.
    """

    name: str
    count: int | None = Field(default=None, gt=0)
    health: Health = "healthy"
    health_message: str = ""

    def names(self) -> list[str]:
        """The names of the hosts, in order."""
        if self.count is None:
            return [self.name]
        return [f"{self.name}-{number}" for number in range(1, self.count + 1)]


class Price(_Strict):
    """What an instance type costs in one region, and how many there are."""

    on_demand: float | None = Field(default=None, gt=0)
    spot: float | None = Field(default=None, gt=0)
    capacity: int = Field(default=1000, ge=0)
    spot_capacity: int = Field(default=1000, ge=0)


class Reservation(_Strict):
    """Capacity held for whoever names it."""

    id: str
    region: str
    count: int = Field(gt=0)


class Offer(Machine):
    """An instance type of the emulated cloud."""

    instance_type: str
    regions: dict[str, Price]
    reservations: list[Reservation] = []


class Cloud(_Strict):
    """The emulated cloud."""

    start_seconds: float = Field(default=1.0, ge=0)
    """From the request for an instance until its shim answers."""
    offers: list[Offer] = []


class Timing(_Strict):
    """Seconds that the steps of a container take."""

    pulling: float = Field(default=0.8, ge=0)
    creating: float = Field(default=0.2, ge=0)
    loading: float = Field(default=1.5, ge=0)
    stopping: float = Field(default=0.3, ge=0)
    killing: float = Field(default=10.0, ge=0)
    """From the SIGINT to a job's commands until they are killed, as dstack's runner does it."""


class Step(_Strict):
    """One thing done to the server: exactly one of the fields is given."""

    apply: dict[str, Any] | None = None
    """A configuration of dstack's own: a gateway, a fleet, a service, a task, ..."""
    until: Expectation | None = None
    """Waits for something before the next step."""
    fault: str | None = None
    """The name of a fault, with its arguments in `with`."""
    arguments: dict[str, Any] = Field(default={}, alias="with")

    @model_validator(mode="after")
    def _one_of_each(self) -> Step:
        given = [name for name in ("apply", "until", "fault") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("a step has exactly one of apply, until and fault")
        return self


class Fault(_Strict):
    """A fault by its call, with what it is called with."""

    fault: str
    arguments: dict[str, Any] = Field(default={}, alias="with")


class NamedFault(_Strict):
    """Something that goes wrong in a scenario that is there, for whoever wants to watch it."""

    description: str
    calls: list[Fault]
    """Set one after the other."""


class RunExpectation(_Strict):
    """What a run looks like when the scenario is there."""

    status: str | None = None
    replicas: dict[str, int] = {}
    """How many of the latest submissions have each status."""
    ready: int | None = None
    """Replicas whose probes have all succeeded often enough."""
    restarted: int | None = None
    """Replicas with more than one submission, at least."""


class FleetExpectation(_Strict):
    """What a fleet looks like when the scenario is there."""

    instances: dict[str, int] = {}
    """How many instances have each status."""
    unhealthy: int | None = None


class Expectation(_Strict):
    """What must be seen in the server's answers."""

    fleets: dict[str, FleetExpectation] = {}
    runs: dict[str, RunExpectation] = {}
    gateways: list[str] = []
    """Names of gateways that are running."""
    containers: list[str] = []
    """Names of jobs that an emulated host has a container of, whatever the server says."""


class ServerOptions(_Strict):
    """How the server is started."""

    frozen: bool = False
    """With background processing off: answers are real, nothing runs."""
    addon: bool = False
    """With the placement add-on."""
    environment: dict[str, str] = {}
    """More of dstack's own settings."""

    @property
    def modules(self) -> tuple[str, ...]:
        """What the server's process imports before anything of dstack."""
        return (ADDON,) if self.addon else ()


class Scenario(_Strict):
    """One scenario file."""

    description: str
    server: ServerOptions = ServerOptions()
    pace: Pace = "real"
    """How often the server looks at what it works on: as dstack does, or several times as often."""
    seed: str | None = None
    """The name of a data set written into the database before the server starts."""
    hosts: list[Hosts] = []
    cloud: Cloud = Cloud()
    timing: Timing = Timing()
    steps: list[Step] = []
    expect: Expectation = Expectation()
    faults: dict[str, NamedFault] = {}
    """By name, what `--fault` sets once `expect` holds."""
    limit: float = Field(default=600.0, gt=0)
    """Seconds within which `expect` must hold, counted from the server's first answer: minutes,
    since the machine may do other things too."""

    def fault_named(self, name: str) -> NamedFault:
        """One of the scenario's faults.

        Raises:
            ScenarioError: There is none of that name; says which there are.
        """
        if name in self.faults:
            return self.faults[name]
        known = "\n".join(f"  {name:<18} {each.description}" for name, each in self.faults.items())
        hint = f"Choose one of these:\n{known}" if known else "The scenario has none."
        raise ScenarioError(f"There is no fault {name!r} in this scenario. {hint}")

    @model_validator(mode="after")
    def _names_are_unique(self) -> Scenario:
        names = [name for hosts in self.hosts for name in hosts.names()]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two hosts have the name {twice[0]}")
        return self


def shipped() -> dict[str, str]:
    """The names and descriptions of the scenarios that come with the simulator."""
    return {name: parse(text, name).description for name, text in sorted(_shipped_files())}


def load(name: str) -> Scenario:
    """Reads a scenario.

    Args:
        name: The name of one that comes with the simulator, or the path of a YAML file.

    Raises:
        ScenarioError: It isn't there, or something in it makes no sense; says where.
    """
    files = dict(_shipped_files())
    if name in files:
        return parse(files[name], name)
    path = Path(name)
    if path.suffix not in (".yml", ".yaml"):
        known = ", ".join(sorted(files))
        raise ScenarioError(
            f"There is no scenario {name!r}. Choose one of {known}, or name a YAML file."
        )
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ScenarioError(
            f"The scenario {name} can't be read: {error.strerror}. Check the path."
        ) from error
    return parse(text, name)


def parse(text: str, source: str) -> Scenario:
    """Checks the text of a scenario.

    Args:
        text: YAML.
        source: What messages call it.

    Raises:
        ScenarioError: Something makes no sense; says where.
    """
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where is not None else ""
        problem = getattr(error, "problem", None) or "it is not YAML"
        raise ScenarioError(f"Scenario {source}{line}: {problem}. Fix the file.") from error
    try:
        return Scenario.model_validate(data)
    except ValidationError as error:
        problems = "; ".join(_problems(error))
        raise ScenarioError(f"Scenario {source}: {problems}. Fix the file.") from error


def _problems(error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        field = ".".join(str(part) for part in problem["loc"]) or "the file"
        yield f"{field}: {problem['msg'][:1].lower()}{problem['msg'][1:]}"


def _shipped_files() -> Iterator[tuple[str, str]]:
    for file in resources.files("dstack_simulator.scenarios").iterdir():
        if file.name.endswith(".yml"):
            yield file.name.removesuffix(".yml"), file.read_text(encoding="utf-8")


Step.model_rebuild()
