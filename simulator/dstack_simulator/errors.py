"""What can go wrong before or while a simulator runs, as sentences for people."""

from __future__ import annotations


class SimulatorError(Exception):
    """A simulator could not start or could not do what it was asked.

    The message is what a person reads: one sentence on what happened, one on what to do.
    """


class ScenarioError(SimulatorError):
    """A scenario file is missing, can't be read or has a field that makes no sense."""


class PortTakenError(SimulatorError):
    """The port that was asked for is in use."""
