"""Calls to the control API of the process that emulates what is around the server."""

from __future__ import annotations

from typing import Any

import httpx

from dstack_simulator.errors import SimulatorError


class ControlClient:
    """Belongs to no event loop: every call makes a connection of its own.

    Attributes:
        token: What authorises the calls.
        url: Where the API is; empty until the world runs.
    """

    def __init__(self, token: str) -> None:
        self.token = token
        self.url = ""

    async def acall(
        self, what: str, body: dict[str, Any] | None = None, *, limit: float = 60.0
    ) -> Any:
        """Makes a call.

        Args:
            what: The path, such as `world/ready`.
            body: Its arguments.
            limit: Seconds to wait for the answer.

        Raises:
            SimulatorError: The world refused, or is gone.
        """
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=limit) as client:
            try:
                answer = await client.post(**self._request(what, body))
            except httpx.HTTPError as error:
                raise _gone(error) from error
        return _result(answer)

    def call(self, what: str, body: dict[str, Any] | None = None, *, limit: float = 60.0) -> Any:
        """As `acall`, for code without an event loop."""
        with httpx.Client(trust_env=False, verify=False, timeout=limit) as client:
            try:
                answer = client.post(**self._request(what, body))
            except httpx.HTTPError as error:
                raise _gone(error) from error
        return _result(answer)

    def _request(self, what: str, body: dict[str, Any] | None) -> dict[str, Any]:
        if not self.url:
            raise SimulatorError("The simulator has not been started. Start it first.")
        return {
            "url": f"{self.url}/{what}",
            "json": body or {},
            "headers": {"Authorization": f"Bearer {self.token}"},
        }


def _gone(error: httpx.HTTPError) -> SimulatorError:
    return SimulatorError(
        f"The process of the simulator's world does not answer ({error!r}). Start it again; with a"
        " folder of your own (`--folder`), its log is kept."
    )


def _result(answer: httpx.Response) -> Any:
    if answer.status_code >= 400:
        try:
            message = answer.json()["error"]
        except (ValueError, KeyError, TypeError):
            message = f"The simulator's world failed ({answer.status_code}). Its log says why."
        raise SimulatorError(message)
    return answer.json()
