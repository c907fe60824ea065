"""Fleets and instances that are out of service: nothing new is placed there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from dstack_api_client.model.labels import counted

_RUN_TYPES = {"task": "task", "dev-environment": "dev environment"}


@dataclass(frozen=True, slots=True)
class Occupant:
    """A job on an instance that is drained.

    Attributes:
        action: `move`, `stop` or `stay`.
        to: The fleet to which it moves.
        why: Why it does that.
    """

    project: str
    run: str
    run_type: str
    replica: int
    job: int
    group: str
    instance: str
    action: str
    to: str | None
    why: str

    @property
    def line(self) -> str:
        """What becomes of it: `replica 1 of chat on gpu-0 moves to gpu-spot`."""
        kind = _RUN_TYPES.get(self.run_type)
        who = f"{kind} {self.run}" if kind is not None else f"replica {self.replica} of {self.run}"
        does = f"moves to {self.to}" if self.action == "move" else f"{self.action}s: {self.why}"
        return f"{who} on {self.instance} {does}"


def left_line(left: Iterable[Occupant]) -> str:
    """How much is left: `3 jobs left: 2 on the way, 1 can't move`."""
    every = list(left)
    stay = sum(each.action == "stay" for each in every)
    parts = [f"{len(every) - stay} on the way" if len(every) > stay else ""]
    parts += [f"{stay} can't move" if stay else ""]
    told = ", ".join(part for part in parts if part)
    return f"{counted(len(every), 'job')} left: {told}" if every else "It is empty."


@dataclass(frozen=True, slots=True)
class BrokenMinimum:
    """A lane that a drain leaves with fewer replicas than its minimum."""

    run: str
    pool: str
    fleet: str
    minimum: int
    replicas: int


@dataclass(frozen=True, slots=True)
class DrainPlan:
    """What a drain does to what is there."""

    occupants: tuple[Occupant, ...]
    broken: tuple[BrokenMinimum, ...]


@dataclass(frozen=True, slots=True)
class Cordon:
    """A fleet or an instance where nothing new is placed.

    Attributes:
        key: The id of the instance, or of the fleet where all of it is cordoned.
        fleet: The fleet's name, with its project where that is another one.
        number: The instance's number; None for the whole fleet.
        user: Who cordoned it.
        draining_since: Since when what is there moves away; None while it may stay.
        force: Whether replicas whose address others hold move away too.
        left: What is left on what is drained.
    """

    key: str
    fleet: str
    number: int | None
    user: str
    reason: str
    since: datetime
    draining_since: datetime | None = None
    force: bool = False
    left: tuple[Occupant, ...] = ()

    @property
    def name(self) -> str:
        """`gpu-reserved`, or `gpu-reserved/1` for an instance."""
        return self.fleet if self.number is None else f"{self.fleet}/{self.number}"

    @property
    def word(self) -> str:
        """`cordoned`, `draining` or `drained`."""
        if self.draining_since is None:
            return "cordoned"
        return "draining" if self.left else "drained"

    @property
    def line(self) -> str:
        """`cordoned by ada: new driver`, as the server says it of a lane without room."""
        return (
            f"cordoned by {self.user}: {self.reason}" if self.reason else f"cordoned by {self.user}"
        )
