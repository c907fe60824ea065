"""Reads what is cordoned, as often as it is worth what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from dstack_api_client import errors
from dstack_api_client.model.capabilities import CORDONS, Capabilities
from dstack_api_client.model.cordon import Cordon
from dstack_api_client.transport.client import Client

#: The share of time that reading it may take: a drain has the server plan.
_SHARE = 0.05
#: Most seconds between two readings, and while a fleet is open, where a drain may be followed.
_LONGEST, _LONGEST_OPEN = 30.0, 5.0


class KnownCordons:
    """The cordons that a server with the placement add-on tells of a project.

    Args:
        client: The client to read with.
        project: The project's name.
        monotonic: A clock for durations.

    Attributes:
        known: By the id of the instance or the fleet; what was known stays after a failure.
        failure: Why the last reading brought nothing, a sentence; empty where it did.
    """

    def __init__(
        self, client: Client, project: str, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.known: Mapping[str, Cordon] = {}
        self.failure = ""
        self._client = client
        self._project = project
        self._monotonic = monotonic
        self._read_at = float("-inf")
        self._spent = 0.0

    async def read(self, capabilities: Capabilities, *, opened: bool = False) -> None:
        """Reads them if it is time.

        Args:
            capabilities: What the server can do.
            opened: Whether a fleet is open.

        Raises:
            CannotConnectError: The server can't be reached.
            UnauthorisedError: It does not accept the token any more.
        """
        if not capabilities.can(CORDONS):
            self.known, self.failure = {}, ""
            return
        longest = _LONGEST_OPEN if opened else _LONGEST
        if self._monotonic() < self._read_at + min(self._spent / _SHARE, longest):
            return
        before = self._client.meter.seconds
        try:
            self.known, self.failure = await self._client.cordons.list(self._project), ""
        except (errors.CannotConnectError, errors.UnauthorisedError):
            raise
        except errors.ApiError as error:
            self.failure = error.message
        self._spent = self._client.meter.seconds - before
        self._read_at = self._monotonic()
