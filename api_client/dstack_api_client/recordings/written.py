"""What the lines of a recording say.

A recording has one JSON object in each line: the head, then a moment in each. The first moment is
whole, others tell what changed since the one before. Whole ones come again now and then, so that
one gets anywhere without all that was before.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

import msgspec

#: The version of the form that is written, and read.
FORM = 1
#: Bytes of text at which a recording ends.
LARGEST = 256 * 1024**2
#: Seconds between two polls, as the dashboard takes them.
Interval = Annotated[float, msgspec.Meta(ge=0.5, le=3600)]


class Form(msgspec.Struct):
    """What the first line of every version has."""

    dstack_fleets_recording: int
    """The version of its form."""


class Head(Form):
    """The first line."""

    project: str
    url: str
    """The server's address."""
    interval: Interval
    """Seconds between two polls."""
    begun: datetime


class Moment(msgspec.Struct, omit_defaults=True):
    """Another line."""

    at: datetime
    """By the clock of the machine that recorded it."""
    whole: bool = False
    values: Mapping[str, Mapping[str, msgspec.Raw]] = {}
    """By what they are, values by key; null for what is gone."""
