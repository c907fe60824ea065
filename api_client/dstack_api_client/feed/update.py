"""What a poll brings: a snapshot, what changed, and how things stand with the server."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dstack_api_client.join.difference import Difference
    from dstack_api_client.model.snapshot import Snapshot


class ConnectionState(str, Enum):
    """How things stand with the server."""

    CONNECTING = "connecting"
    """Nothing was read yet."""
    LIVE = "live"
    """The last poll succeeded."""
    STALE = "stale"
    """The last poll failed; what is shown is what was known before."""
    UNAUTHORISED = "unauthorised"
    """The server does not accept the token."""
    NO_PROJECT = "no project"
    """The project is not there, or its user may not see it."""
    UNSUPPORTED = "unsupported"
    """The server is too old."""


@dataclass(frozen=True)
class Health:
    """The state of the connection."""

    state: ConnectionState
    since: datetime
    message: str | None = None
    """What happened, one sentence."""
    hint: str | None = None
    """What to do, one sentence."""
    last_success: datetime | None = None


@dataclass(frozen=True)
class Update:
    """What a poll brought, or one page of it."""

    snapshot: Snapshot | None
    difference: Difference
    """Against the snapshot of the update before."""
    health: Health
