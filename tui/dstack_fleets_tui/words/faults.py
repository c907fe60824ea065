"""What is said of a fault of this program: one line, and where the rest is."""

from __future__ import annotations

import logging

from dstack_api_client import fault_log

_LOG = logging.getLogger(__name__)


def line_of(error: BaseException) -> str:
    """Writes a fault down, and makes a line about it."""
    where = fault_log.write(error)
    place = fault_log.place_of(error)
    _LOG.error("failed: %s", place)
    if where is None:
        return f"Something failed that should not: {place}. Report it with this line."
    return f"Something failed that should not: {place}. Report it with {where}."
