"""Deleting a fleet, or instances of one, with its line in the audit log."""

from __future__ import annotations

from collections.abc import Sequence

from dstack_api_client import errors
from dstack_api_client.cleaning import one_line
from dstack_api_client.client import Client
from dstack_api_client.edits.base import Base, read_base
from dstack_api_client.edits.errors import NotKeptError
from dstack_api_client.edits.fleets import delete_fleet, delete_instances
from dstack_api_client.edits.keeping import Store
from dstack_api_client.edits.performing import Performed
from dstack_api_client.writer import ReadOnlyError, UnansweredError


async def delete(
    client: Client, base: Base, store: Store, numbers: Sequence[int] = (), *, user: str = ""
) -> Performed:
    """Deletes a fleet or some of its instances; the caller has asked for confirmation.

    Args:
        client: Where.
        base: The fleet.
        store: Where the audit log is.
        numbers: The numbers of the instances; without them the whole fleet goes.
        user: The server's user, by `performing.who`.

    Raises:
        ReadOnlyError: The client only reads; nothing was sent.
        EndedError: The fleet is going already, or another one has its name now.
        ApiError: It could not be asked for, or the server refused it.
    """
    name = one_line(base.target.name)
    counted = ", ".join(map(str, numbers))
    if not numbers:
        what = f"Fleet {name} is"
    elif len(numbers) == 1:
        what = f"Instance {counted} of {name} is"
    else:
        what = f"Instances {counted} of {name} are"
    try:
        if numbers:
            await delete_instances(client, base, numbers)
        else:
            await _delete_whole(client, base)
    except ReadOnlyError:
        raise
    except errors.ApiError as error:
        known = "not known" if isinstance(error, UnansweredError) else "not deleted"
        notice = _noted(base, store, f"{what} {known}: {error.message}", user)
        error.hint = f"{error.hint} {notice}".strip()
        raise
    line = f"{what} being deleted."
    notice = _noted(base, store, line, user)
    return Performed(base, None, (notice,) if notice else (), line)


async def _delete_whole(client: Client, base: Base) -> None:
    try:
        await delete_fleet(client, base)
    except UnansweredError:
        try:
            now = await read_base(client, base.target)
        except errors.NotFoundError:
            return
        if not now.gone:
            raise


def _noted(base: Base, store: Store, result: str, user: str) -> str:
    try:
        store.audit(base.target, (), result, user=user, action="delete")
    except NotKeptError as error:
        return f"The audit log could not be written. {error}"
    return ""
