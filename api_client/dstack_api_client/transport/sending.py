"""How far the sending of one request has come: whether a server may have got it."""

from __future__ import annotations

from typing import Any

import httpx

#: Raised while there is no connection yet that a request could go out on.
_BEFORE = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


class Sending:
    """Follows one request by what its transport traces.

    Attributes:
        begun: Whether the request itself was being sent, not only the way to the server opened.
    """

    def __init__(self) -> None:
        self.begun = False
        self._traced = False

    async def trace(self, name: str, info: dict[str, Any]) -> None:
        """Takes a step, as the `trace` extension of httpx tells it."""
        self._traced = True
        # A proxy is asked for the way to the server with a request too.
        if name.endswith(".send_request_headers.started") and info["request"].method != b"CONNECT":
            self.begun = True

    def unsent(self, error: Exception) -> bool:
        """Whether the request did not go out, as far as it is known when this was raised."""
        return isinstance(error, _BEFORE) or (self._traced and not self.begun)
