"""What was sent before the program ended, looked up when it starts again."""

from __future__ import annotations

from dstack_api_client import errors
from dstack_api_client.edits.base.base import Base, Target, read_base
from dstack_api_client.edits.errors import NotKeptError
from dstack_api_client.edits.spec.fields import ABSENT, fields_of, same
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.edits.store.kept import Kept, Sent, differing, values_of
from dstack_api_client.text import one_line
from dstack_api_client.transport.client import Client


async def look_up(client: Client, project: str, store: Store, *, server: str) -> list[str]:
    """Finds out what became of changes of which that was not known, and writes it down.

    Args:
        client: Where.
        project: The project's name.
        store: Where things are kept.
        server: The server's address.

    Returns:
        A line for each.
    """
    return [
        await _looked_up(client, target, sent, store)
        for target, sent in store.open_changes(server, project)
    ]


async def _looked_up(client: Client, target: Target, sent: Sent, store: Store) -> str:
    name = one_line(target.name)
    at = sent.at.astimezone()
    begun = f"`{one_line(sent.action)}` of {name} was sent at {at:%Y-%m-%d %H:%M:%S}"
    if sent.kept is None:
        said, applied = "what became of it is not known: look at it.", False
    else:
        try:
            now = await read_base(client, target)
        except errors.ApiError as error:
            if not (isinstance(error, errors.NotFoundError) and error.said_by_server):
                return f"{begun}, and what became of it can't be read. {error}"
            said, applied = "it is not there any more.", False
        else:
            said, applied = _judged(sent.kept, now)
    try:
        store.end_sent(target, sent, applied=applied)
        result = f"looked up later: {said}"
        store.audit(target, (), result, user=sent.user, action=sent.action, sent=sent.id)
    except NotKeptError as error:
        said = f"{said} {error}"
    return f"{begun} and its end was not seen: {said}"


def _judged(kept: Kept, now: Base) -> tuple[str, bool]:
    """What there is of a change, and whether the way back from it is kept."""
    if now.id != kept.id:
        return "another one has its name now.", False
    is_service = now.target.kind == "service"
    if is_service and now.deployment < kept.deployment:
        return "it was not applied.", False
    if not differing(kept, now) and (kept.steps or now.deployment == kept.deployment):
        return "it was applied; undo reverts it.", True
    known = fields_of(now.spec)
    if not is_service and all(
        same(known.get(path, ABSENT), old) for path, old in values_of(kept, back=True).items()
    ):
        return "it was not applied.", False
    return "it was changed again since; undo reverts it.", True
