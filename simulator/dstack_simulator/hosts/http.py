"""The small HTTP layer under shim, runner, worker and gateway.

aiohttp's applications keep a router per instance; hundreds of hosts share one table of routes here,
and each server passes its owner (a host, a runner, a worker) to the handler.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

Owner = TypeVar("Owner")
Handler = Callable[[Owner, web.BaseRequest, Mapping[str, str]], Awaitable[web.StreamResponse]]

_logger = logging.getLogger("dstack_simulator.http")


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    # A server probes workers for gRPC on the same port: what is no HTTP/1.1 is answered 400.
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)


_logger.addFilter(_is_worth_a_line)


class Routes(Generic[Owner]):
    """A table of `(method, path)` to handler; `{name}` in a path matches one segment."""

    def __init__(self) -> None:
        self._routes: list[tuple[str, re.Pattern[str], Handler[Owner]]] = []

    def on(self, method: str, *paths: str) -> Callable[[Handler[Owner]], Handler[Owner]]:
        """Registers the decorated handler for a method and one or more paths."""

        def register(handler: Handler[Owner]) -> Handler[Owner]:
            for path in paths:
                pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))
                self._routes.append((method, pattern, handler))
            return handler

        return register

    def serve(
        self,
        owner: Owner,
        *,
        lets_in: Callable[[web.BaseRequest], bool] = lambda _: True,
        ends_with_client: bool = False,
    ) -> web.Server:
        """Makes a protocol factory that answers for `owner`. Needs a running event loop.

        Args:
            owner: Passed to the handlers.
            lets_in: Tells requests that are answered from those that get a 401.
            ends_with_client: Whether a handler is cancelled when its client is gone.
        """

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            if not lets_in(request):
                return web.json_response({"error": "Unauthorized"}, status=401)
            known_path = False
            for method, pattern, handler in self._routes:
                match = pattern.fullmatch(request.path)
                if match is None:
                    continue
                known_path = True
                if request.method == method:
                    return await handler(owner, request, match.groupdict())
            status = 405 if known_path else 404
            return web.json_response({"detail": f"{request.method} {request.path}"}, status=status)

        return web.Server(
            handle,
            access_log=None,
            logger=_logger,
            keepalive_timeout=75,
            handler_cancellation=ends_with_client,
        )


async def read_json(request: web.BaseRequest) -> dict[str, Any]:
    """The body as a JSON object; a body of any size is taken.

    Raises:
        web.HTTPBadRequest: The body is not a JSON object.
    """
    raw = await request.content.read()
    try:
        value = json.loads(raw) if raw else {}
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"The body is not JSON: {error}. Send an object.") from error
    if not isinstance(value, dict):
        raise web.HTTPBadRequest(text="The body is not a JSON object. Send an object.")
    return value
