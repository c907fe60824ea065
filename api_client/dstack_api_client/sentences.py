"""What dstack's own sentences say, which have no codes: they are taken apart here, nowhere else.

As in 0.22.5, `server/services/events.py` and the pipelines that emit events, and as servers before
said the same; and two of the placement add-on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum


class Subject(Enum):
    """What a message of an event is about."""

    JOB_STATUS = "job status"
    INSTANCE_STATUS = "instance status"
    HEALTH = "health"
    UNREACHABLE = "unreachable"
    JOB_UNREACHABLE = "job unreachable"
    """The server can't reach a job, and gives it up 2 minutes later."""
    JOB_REACHABLE = "job reachable"
    UNASSIGNED = "unassigned"
    """A job has left its instance."""
    TAKEN_IN = "taken in"
    """The proxy sends a replica requests, since 0.21."""
    REGISTERED_AT_LAST = "registered at last"
    """The proxy and the gateway do, before 0.21."""
    AT_GATEWAY = "at gateway"
    """A gateway knows a replica, since 0.21; it comes later."""
    SUBMITTED = "submitted"
    """A run was submitted: its deployment 0."""
    DEPLOYMENT = "deployment"
    OTHER_SERVER = "other server"
    """The placement add-on has found a replica that a server without it has placed."""
    DRAIN_CUT = "drain cut"
    """A replica was stopped by the placement add-on with requests open."""
    OTHER = "other"


#: Whether the server reaches a job.
REACH = (Subject.JOB_UNREACHABLE, Subject.JOB_REACHABLE)
#: How messages begin, by what they are about.
_BEGIN = {
    "Job status changed ": Subject.JOB_STATUS,
    "Instance status changed ": Subject.INSTANCE_STATUS,
    "Instance health changed ": Subject.HEALTH,
    "Instance became unreachable": Subject.UNREACHABLE,
    "Job became unreachable": Subject.JOB_UNREACHABLE,
    "Job became reachable": Subject.JOB_REACHABLE,
    "Job unassigned from instance": Subject.UNASSIGNED,
    "Service replica ready to receive": Subject.TAKEN_IN,
    "Service replica registered to receive": Subject.REGISTERED_AT_LAST,
    "Run submitted. ": Subject.SUBMITTED,
    "Run updated. Deployment: ": Subject.DEPLOYMENT,
}
_AT_GATEWAY = "Service replica registered"
_NEW = re.compile(r"(?:([A-Z]+) )?-> ([A-Z]+)")
#: Digits of the number of a deployment.
_LONGEST = 9
_FIELDS = re.compile(r" ?Changed fields: (.+)$")
_DEPLOYMENT = re.compile(rf"Deployment: ([0-9]{{1,{_LONGEST}}})(?:\.|$)")
_OTHER_SERVER = re.compile(
    rf"Replica ([0-9]{{1,{_LONGEST}}}) was placed in fleet .* by a server without the add-on"
)
_DRAIN_CUT = re.compile(
    rf"Replica ([0-9]{{1,{_LONGEST}}}) stopped with [0-9]{{1,{_LONGEST}}} requests? open after .*"
)
#: How most messages begin; what they are about says it already.
_CHANGED = re.compile(r"^(?:Job|Run|Instance|Fleet) status changed (?=[A-Z])")
_BAD = re.compile(r"-> (?:FAILED|FAILURE)|unreachable|\berror\b", re.IGNORECASE)
_GOOD = re.compile(r"-> (?:RUNNING|BUSY|HEALTHY|DONE)|became reachable|ready to receive")
#: Stands in the server's message where no fleet fits.
_NO_FLEET = "No matching fleet found"
#: A message that needs no other word before it: `No spot capacity in us-east-1`.
_SAYS_SO = re.compile(r"\bno\b.*\bcapacity\b", re.IGNORECASE)
#: What refusals say that say no more than their HTTP status, written small.
ACCESS_DENIED, NOT_FOUND = "access denied", "not found"
#: As in `Failed to provision in fleet 'gpu': tried 1 of 1 offers`.
_TRIED = re.compile(r"\bin fleet '([^']+)'")


@dataclass(frozen=True, slots=True)
class Told:
    """What a message of an event says.

    Attributes:
        subject: What it is about.
        status: The new status, written small; empty where none is named.
        deployment: The number of a deployment; None where none is named.
        replica: The number of a replica; None where none is named.
        fields: The fields of a spec that a deployment changed, as the server names them.
        before: The status before the new one, written small; empty where none is named.
    """

    subject: Subject
    status: str = ""
    deployment: int | None = None
    replica: int | None = None
    fields: tuple[str, ...] = ()
    before: str = field(default="", compare=False)


#: What tells that a job has begun to run.
RUNS = Told(Subject.JOB_STATUS, "running")


def told(message: str) -> Told:
    """Takes the message of an event apart."""
    if message == _AT_GATEWAY:
        return Told(Subject.AT_GATEWAY)
    if (placed := _OTHER_SERVER.fullmatch(message)) is not None:
        return Told(Subject.OTHER_SERVER, replica=int(placed[1]))
    if (cut := _DRAIN_CUT.fullmatch(message)) is not None:
        return Told(Subject.DRAIN_CUT, replica=int(cut[1]))
    begin = next((begin for begin in _BEGIN if message.startswith(begin)), None)
    if begin is None:
        return Told(Subject.OTHER)
    subject = _BEGIN[begin]
    if subject is Subject.DEPLOYMENT:
        number = _DEPLOYMENT.search(message)
        fields = _FIELDS.search(message)
        return Told(
            subject,
            deployment=int(number[1]) if number is not None else None,
            fields=tuple(fields[1].split(", ")) if fields is not None else (),
        )
    new = _NEW.search(message)
    if new is None:
        return Told(subject)
    return Told(subject, new[2].lower(), before=(new[1] or "").lower())


def short(message: str) -> str:
    """The message without the beginning that most have."""
    return _CHANGED.sub("", message)


def without_fields(message: str) -> str:
    """The message of a deployment without the fields that it changed."""
    return _FIELDS.sub("", message)


def is_bad(message: str) -> bool:
    """Whether something went wrong."""
    return _BAD.search(message) is not None


def is_good(message: str) -> bool:
    """Whether something has come to where it is of use."""
    return _GOOD.search(message) is not None


def fleet_tried(message: str) -> str | None:
    """The fleet in which no instance was found; None where none is named."""
    found = _TRIED.search(message)
    return found[1] if found is not None else None


def of_no_place(message: str | None) -> str:
    """What is said of a submission that found no place, whatever stage of its end it is in.

    dstack says `no capacity` or `no fleets` once it has failed; until then there are the reason's
    name and at times a message.

    Args:
        message: What the server told beside the reason.
    """
    if not message:
        return "no capacity"
    if _SAYS_SO.search(message):
        return message
    word = "no fleets" if _NO_FLEET in message else "no capacity"
    return f"{word} ({message.rstrip('.')})"


def refuses_token(said: str) -> bool:
    """Whether a refusal is for the token; dstack has no code for it."""
    return "invalid token" in said.lower()
