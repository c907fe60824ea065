"""A request that changes something, with its record: whatever comes of it is written down."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from dstack_api_client import errors
from dstack_api_client.edits.base.base import Target
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.edits.store.recording import Record, doubt_of, told, unknown_of
from dstack_api_client.transport.client import Client

T = TypeVar("T")


def begun(client: Client, store: Store, target: Target, *, user: str, action: str) -> Record:
    """Begins the record of a request: it says by now that it is sent.

    Args:
        client: Where it goes.
        store: Where the audit log is.
        target: What it changes.
        user: The server's user.
        action: What it is called in the audit log.

    Raises:
        ReadOnlyError: The client only reads; nothing was written down.
    """
    client.refuse_read_only()
    record = Record(store, target, user=user, action=action)
    record.send()
    return record


async def requested(
    record: Record,
    ask: Callable[[], Awaitable[T]],
    what: str,
    *,
    not_done: str,
    became: Callable[[errors.ApiError], Awaitable[bool | None]],
) -> T | None:
    """The answer to a request; None where it was done and nothing answers.

    Args:
        record: Its record, which says by now that it is sent.
        ask: Sends it.
        what: What is asked for, the beginning of a sentence.
        not_done: What is written down where it is known that it was not done.
        became: Whether it was done, after an error that does not say so; None where nobody knows.

    Raises:
        UnansweredError: It was sent, and whether it was done is not known.
        ApiError: The server refused it, or it could not be sent.
    """
    try:
        return await ask()
    except errors.RefusedError as error:
        record.failed(error, not_done)
        raise told(error, record) from None
    except errors.ApiError as error:
        done = False if error.unsent else await became(error)
        if done:
            return None
        if done is False:
            record.failed(error, not_done)
            raise told(error, record) from None
        unknown = unknown_of(error, what)
        record.failed(unknown)
        raise told(unknown, record) from error
    except BaseException as error:
        record.failed(error)
        doubt = doubt_of(error, record, what)
        if doubt is not None:
            raise doubt from error
        raise
