"""Names resolved without holding anything up.

A resolver can't be interrupted, and may take minutes where its network is broken. asyncio runs it
in a thread of a pool, which the end of the loop and of the process wait for. Here it has a thread
of its own that nothing waits for. Each question has one, so that a name that resolves again is
found though an earlier question still hangs.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

#: Most questions that hang at a time.
_MOST = 16


def use(loop: asyncio.AbstractEventLoop) -> None:
    """Has a loop resolve names this way; one that can't be changed stays as it is."""
    known = getattr(loop.getaddrinfo, "__func__", None)
    if known is not asyncio.BaseEventLoop.getaddrinfo:
        return  # already, or a loop with a way of its own

    hanging: set[threading.Thread] = set()

    async def getaddrinfo(host: Any, port: Any, **options: int) -> Any:
        hanging.intersection_update([each for each in hanging if each.is_alive()])
        if len(hanging) >= _MOST:
            raise socket.gaierror(socket.EAI_AGAIN, "The resolver does not answer")
        found: asyncio.Future[Any] = loop.create_future()
        thread = threading.Thread(
            target=_resolve,
            args=(loop, found, lambda: socket.getaddrinfo(host, port, **options)),
            name="resolver",
            daemon=True,
        )
        hanging.add(thread)
        thread.start()
        return await found

    loop.getaddrinfo = getaddrinfo  # type: ignore[method-assign]


def _resolve(
    loop: asyncio.AbstractEventLoop, found: asyncio.Future[Any], resolve: Callable[[], Any]
) -> None:
    """Resolves in a thread, and tells who waits for it, if anybody still does."""
    answer: Any = None
    failure: Exception | None = None
    try:
        answer = resolve()
    except Exception as error:
        failure = error

    def tell() -> None:
        if found.done():
            return
        if failure is not None:
            found.set_exception(failure)
        else:
            found.set_result(answer)

    with suppress(RuntimeError):  # the loop may have ended meanwhile
        loop.call_soon_threadsafe(tell)
