"""How much somebody may ask for at once, so that nobody else has to wait."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from dstack._internal.core.errors import ServerClientError
from dstack._internal.server.utils.routers import get_server_client_error_details
from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute

from dstack_placement.server.answers import answers

#: Bytes of a request's body. A configuration of the largest service is some 100 kB.
MOST_BYTES = 1024 * 1024
#: Replicas of a service that is previewed, those that are there and those wanted.
MOST_REPLICAS = 10_000
#: Runs whose whole placement is asked for at once.
MOST_RUNS = 100
#: Groups that a preview changes.
MOST_GROUPS = 100


class BoundedRoute(APIRoute):
    """An endpoint that reads no body that is too large, or that no answer can quote."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint's handler, on requests that are bounded."""
        handle = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            return await handle(_BoundedRequest(request.scope, request.receive))

        return bounded


class _BoundedRequest(Request):
    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            body = bytearray()
            async for chunk in self.stream():
                body += chunk
                if len(body) > MOST_BYTES:
                    # Of all errors, FastAPI lets through only this one here.
                    raise HTTPException(400, get_server_client_error_details(_too_large()))
            self._body = bytes(body)
            try:
                body.decode()
            except UnicodeDecodeError:
                raise HTTPException(400, get_server_client_error_details(_ODD)) from None
        return self._body

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            self._json = json.loads(await self.body())
            try:
                written = json.dumps(self._json, allow_nan=False, ensure_ascii=False).encode()
            except ValueError:  # a number or a text that an answer could not quote
                raise HTTPException(400, get_server_client_error_details(_ODD)) from None
            if _NUL in written:  # which PostgreSQL takes in no question
                raise HTTPException(400, get_server_client_error_details(_ODD))
        return self._json


_NUL = rb"\u0000"
_ODD = ServerClientError(
    "The request has a number that is not finite or a text with characters that no text can have."
)


def _too_large() -> ServerClientError:
    return ServerClientError(
        f"The request is larger than {MOST_BYTES // 1024} KiB. Leave out what stays as it is."
    )


def refuse_large_list(asked: answers.ListRequest) -> None:
    """Checks a request for a list.

    Raises:
        ServerClientError: It names too many runs.
    """
    if len(asked.run_names) > MOST_RUNS:
        raise ServerClientError(
            f"{len(asked.run_names)} runs are asked for in full. Name at most {MOST_RUNS}."
        )


def refuse_large_preview(asked: answers.PreviewRequest) -> None:
    """Checks a request for a preview.

    Raises:
        ServerClientError: It is on too many groups.
    """
    groups = max(len(asked.group_fleets), len(asked.replicas))
    if groups > MOST_GROUPS:
        raise ServerClientError(f"{groups} groups are to be changed. Change at most {MOST_GROUPS}.")


def refuse_many_replicas(number: int) -> None:
    """Checks how many replicas a preview is of.

    Args:
        number: Those that are there, or those wanted if they are more.

    Raises:
        ServerClientError: They are too many.
    """
    if number > MOST_REPLICAS:
        raise ServerClientError(
            f"The preview is of more than {MOST_REPLICAS} replicas. Preview fewer."
        )
