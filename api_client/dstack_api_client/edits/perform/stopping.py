"""Stopping a run, aborting it, and deleting one that has ended."""

from __future__ import annotations

from typing import Literal

from dstack_api_client import errors
from dstack_api_client.edits.base.base import Base, read_run
from dstack_api_client.edits.errors import EditError, EndedError
from dstack_api_client.edits.perform.performing import Performed
from dstack_api_client.edits.perform.requesting import begun, requested
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.model.labels import in_status
from dstack_api_client.model.replica import FINISHED, STOPPING
from dstack_api_client.text import one_line
from dstack_api_client.transport.client import Client

StopAction = Literal["stop", "abort", "delete"]

_DONE = {
    "stop": "The stop of {} is sent.",
    "abort": "The abort of {} is sent.",
    "delete": "{} is deleted.",
}
_NOUNS = {"stop": "stop", "abort": "abort", "delete": "deletion"}


def fitting(status: str) -> tuple[StopAction, ...]:
    """What can be done to a run in a status."""
    if status in FINISHED:
        return ("delete",)
    return ("abort",) if status == STOPPING else ("stop", "abort")


def refuse_unfit(run: Base, action: StopAction) -> None:
    """Makes sure that a run is in a state for it.

    Raises:
        EndedError: It has ended or is being stopped already.
        EditError: It can't be deleted, since it has not ended.
    """
    if action in fitting(run.status):
        return
    said = f"{one_line(run.target.name)} {in_status(one_line(run.status))}"
    if action == "delete":
        raise EditError(f"{said}: only a run that has ended can be deleted.", "Stop it first.")
    if run.status in FINISHED:
        raise EndedError(f"{said} already.", "There is nothing to stop.")
    raise EndedError(f"{said} already.", "Abort it if it does not end.")


async def carry_out(
    client: Client, run: Base, action: StopAction, store: Store, *, user: str = ""
) -> Performed:
    """Asks for it, and writes the audit log whatever came of it.

    The caller has asked for confirmation. The server goes by the name alone, so that the run is
    read once more just before.

    Args:
        client: Where.
        run: The run, as it was when that was asked.
        action: What is asked for.
        store: Where the audit log is.
        user: The server's user, by `performing.who`.

    Raises:
        ReadOnlyError: The client only reads; nothing was sent.
        EndedError: It is another run now, or has ended by itself.
        UnansweredError: It was sent, and whether it was done is not known.
        ApiError: The server refused it, or it could not be sent.
    """
    client.refuse_read_only()
    project, name = run.target.project, run.target.name
    now = await read_run(client, project, name)
    if now.id != run.id:
        raise EndedError(
            f"{one_line(name)} is another run now; nothing was done.", "Look at it first."
        )
    refuse_unfit(now, action)
    record = begun(client, store, run.target, user=user, action=action)

    async def ask() -> None:
        if action == "delete":
            await client.runs.delete(project, name)
        else:
            await client.runs.stop(project, name, abort=action == "abort")

    async def became(error: errors.ApiError) -> bool | None:
        # A request that nobody has answered may still come to the server.
        return True if await _is_done(client, run, action) else None

    what = f"The {_NOUNS[action]} of {one_line(name)}"
    await requested(record, ask, what, not_done="not done", became=became)
    line = _DONE[action].format(one_line(name))
    record.applied(line)
    return Performed(now, None, tuple(record.notices), line)


async def _is_done(client: Client, run: Base, action: StopAction) -> bool:
    """Whether the run can be read and is as it was asked to be."""
    try:
        now = await client.runs.get(run.target.project, run_id=run.id)
    except errors.ApiError:
        return False
    if action == "delete":
        return bool(now.deleted)
    # An abort of what was being stopped shows nowhere until it has ended.
    ending = action == "stop" or run.status != STOPPING
    return now.status in FINISHED or (ending and now.status == STOPPING)
