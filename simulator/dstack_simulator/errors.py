"""What can go wrong before or while a simulator runs, as sentences for people."""

from __future__ import annotations

#: How often, and after how many seconds, the server is asked again while it is busy.
BUSY_TRIES, BUSY_WAIT = 20, 0.5


def is_busy(status: int, text: str) -> bool:
    """Whether the server refused because a pipeline holds what is to be changed.

    Args:
        status: The status of its answer.
        text: The answer, as the services of dstack's fleets word it.
    """
    return status == 400 and "being processed currently" in text


class SimulatorError(Exception):
    """A simulator could not start or could not do what it was asked.

    The message is what a person reads: one sentence on what happened, one on what to do.
    """


class ScenarioError(SimulatorError):
    """A scenario file is missing, can't be read or has a field that makes no sense."""


class PortTakenError(SimulatorError):
    """The port that was asked for is in use."""
