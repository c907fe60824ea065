"""The calls to the server's API that a scenario needs, made as dstack's own client makes them."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from dstack_simulator.errors import BUSY_TRIES, BUSY_WAIT, SimulatorError, is_busy

_TIMEOUT = 60.0


class Api:
    """One project on the server, with the rights of its administrator."""

    def __init__(self, url: str, token: str, project: str) -> None:
        self.url = url
        self._project = project
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {token}"},
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT),
        )

    async def close(self) -> None:
        """Closes the connections."""
        await self._session.close()

    async def runs(self) -> list[dict[str, Any]]:
        """The project's latest runs, with all their replicas."""
        found: list[dict[str, Any]] = await self.call(
            "/api/runs/list",
            {
                "project_name": self._project,
                "limit": 100,
                "job_submissions_limit": 10,
                "include_jobs": True,
            },
        )
        return found

    async def project(self, path: str, body: dict[str, Any]) -> Any:
        """Calls `/api/project/PROJECT/PATH`."""
        return await self.call(f"/api/project/{self._project}/{path}", body)

    async def call(self, path: str, body: dict[str, Any]) -> Any:
        """Posts to the server.

        Raises:
            SimulatorError: It refused, or could not be reached.
        """
        for attempt in range(1, BUSY_TRIES + 1):
            try:
                async with self._session.post(self.url + path, json=body) as answer:
                    text = await answer.text()
                    if answer.status < 400:
                        return await answer.json() if text else None
            except (aiohttp.ClientError, asyncio.TimeoutError) as error:
                raise SimulatorError(f"The server did not answer {path}: {error!r}.") from error
            if not is_busy(answer.status, text) or attempt == BUSY_TRIES:
                break
            await asyncio.sleep(BUSY_WAIT)
        raise SimulatorError(f"The server refused {path} with {answer.status}: {text[:500]}")

    async def apply(self, configuration: dict[str, Any]) -> str:
        """Plans and applies one configuration of dstack's.

        The containers of a run let in the key that the server keeps for its user, as when dstack's
        own command line applies it.

        Args:
            configuration: As in a `.dstack.yml` file.

        Returns:
            The name of what was applied.
        """
        kind = configuration.get("type")
        if kind == "gateway":
            return await self._apply("gateways", {"configuration": configuration})
        if kind == "fleet":
            return await self._apply(
                "fleets",
                {"configuration": configuration, "profile": {"name": "default"}},
            )
        spec = {
            "run_name": configuration.get("name"),
            "configuration": configuration,
            "profile": {"name": "default"},
        }
        plan = await self.project("runs/get_plan", {"run_spec": spec})
        run = await self.project(
            "runs/apply",
            {
                "plan": {"run_spec": spec, "current_resource": plan["current_resource"]},
                "force": False,
            },
        )
        name: str = run["run_spec"]["run_name"]
        return name

    async def _apply(self, group: str, spec: dict[str, Any]) -> str:
        plan = await self.project(f"{group}/get_plan", {"spec": spec})
        applied = await self.project(
            f"{group}/apply",
            {
                "plan": {"spec": spec, "current_resource": plan["current_resource"]},
                "force": False,
            },
        )
        name: str = applied["name"]
        return name
