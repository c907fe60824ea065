"""What can go wrong in the add-on itself."""

from __future__ import annotations


class AddonError(Exception):
    """The add-on can't do its work; the message says what happened and what to do."""


class RunBusyError(AddonError):
    """Another server has been deciding on the run for too long."""
