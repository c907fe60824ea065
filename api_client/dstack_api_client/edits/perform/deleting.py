"""Deleting a fleet, or instances of one, with its line in the audit log."""

from __future__ import annotations

from collections.abc import Sequence

from dstack_api_client import errors
from dstack_api_client.edits.base.base import Base, read_base
from dstack_api_client.edits.fleet.fleets import delete_fleet, delete_instances
from dstack_api_client.edits.perform.performing import Performed
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.edits.store.recording import Record, doubt_of, told, unknown_of
from dstack_api_client.errors import ReadOnlyError, UnansweredError
from dstack_api_client.text import one_line
from dstack_api_client.transport.client import Client

#: What may be answered in the server's name when it has done its part.
_IN_ITS_NAME = (errors.UnauthorisedError, errors.ForbiddenError, errors.NotFoundError)


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
    record = Record(store, base.target, user=user, action="delete")
    try:
        if numbers:
            await _delete_some(client, base, numbers, record)
        else:
            await _delete_whole(client, base, record)
    except ReadOnlyError:
        raise
    except errors.ApiError as error:
        record.failed(error, f"{what} not deleted")
        raise told(error, record) from error.__cause__
    except BaseException as error:
        record.failed(error)
        doubt = doubt_of(error, record, f"The deletion in {name}")
        if doubt is not None:
            raise doubt from error
        raise
    line = f"{what} being deleted."
    record.applied(line)
    return Performed(base, None, tuple(record.notices), line)


async def _delete_some(client: Client, base: Base, numbers: Sequence[int], record: Record) -> None:
    try:
        await delete_instances(client, base, numbers, on_send=record.send)
    except _IN_ITS_NAME as error:
        if not record.was_sent or await _are_there(client, base, numbers):
            raise
        what = f"The deletion of instances of {one_line(base.target.name)}"
        raise unknown_of(error, what) from error


async def _are_there(client: Client, base: Base, numbers: Sequence[int]) -> bool:
    """Whether none of some instances is going."""
    try:
        fleet = await client.fleets.get(base.target.project, name=base.target.name)
    except errors.ApiError:
        return False
    kept = {
        each.instance_num for each in fleet.instances or () if not each.status.startswith("termin")
    }
    return fleet.id == base.id and kept.issuperset(numbers)


async def _delete_whole(client: Client, base: Base, record: Record) -> None:
    doubt: errors.ApiError
    try:
        await delete_fleet(client, base, on_send=record.send)
    except UnansweredError as error:
        doubt = error
    except _IN_ITS_NAME as error:
        if not record.was_sent:
            raise
        doubt = error
    else:
        return
    try:
        now = await read_base(client, base.target)
    except errors.ApiError as error:
        if isinstance(error, errors.NotFoundError) and error.said_by_server:
            return
        what = f"The deletion of fleet {one_line(base.target.name)}"
        raise unknown_of(doubt, what) from error
    if not now.gone and now.id == base.id:
        raise doubt
