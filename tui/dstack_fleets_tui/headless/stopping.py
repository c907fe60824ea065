"""`stop` and `delete`: what ends is printed, confirmed, done and followed."""

from __future__ import annotations

from dataclasses import replace

from dstack_api_client.connect.connection import Connection
from dstack_api_client.edits.base.base import read_run
from dstack_api_client.edits.errors import EndedError
from dstack_api_client.edits.follow.following import State
from dstack_api_client.edits.follow.following_ends import follow_end
from dstack_api_client.edits.perform.performing import who
from dstack_api_client.edits.perform.stopping import StopAction, carry_out, refuse_unfit
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.feed.feed import Feed
from dstack_api_client.text import one_line
from dstack_api_client.transport.client import Client
from dstack_fleets_tui.headless import ending
from dstack_fleets_tui.headless.apply import (
    answer_to,
    confirm,
    refuse_read_only,
    tell_unseen_ends,
)
from dstack_fleets_tui.headless.get import as_json
from dstack_fleets_tui.headless.looking import poll
from dstack_fleets_tui.headless.manner import Manner, followed, tell, write_told
from dstack_fleets_tui.names import finding
from dstack_fleets_tui.output.stopping import stop_item, stop_lines, stop_title


def stop(connection: Connection, action: StopAction, name: str, manner: Manner) -> State:
    """Stops, aborts or deletes a run.

    Args:
        connection: Where.
        action: What is done.
        name: The run's name.
        manner: How.

    Returns:
        How it ended; `DONE` where nothing was waited for.

    Raises:
        NotConfirmedError: Nobody said yes.
        ApiError: It is refused, or the server could not be asked.
    """
    return ending.run(_stop(connection, action, name, manner))


async def _stop(connection: Connection, action: StopAction, name: str, manner: Manner) -> State:
    async with Client(
        connection.url, connection.token, verify=connection.verify, read_only=manner.read_only
    ) as client:
        snapshot = await poll(Feed(client, connection.project), full=True)
        await tell_unseen_ends(client, connection)
        run = finding.run_named(snapshot, name)
        base = await read_run(client, connection.project, run.name)
        if base.id != run.id:
            raise EndedError(f"{one_line(name)} is another run by now.", "Look at it first.")
        refuse_unfit(base, action)
        run = replace(run, status=base.status)
        lines = [f"{stop_title(action, run)}:", *stop_lines(run, snapshot, (action,))]
        tell(manner, "\n".join(map(one_line, lines)))
        refuse_read_only(manner)
        confirm(base, manner, what=action.capitalize())
        user = await who(client)
        asked = carry_out(client, base, action, Store.default(), user=user)
        item = stop_item(action, run, snapshot)
        done = await answer_to(
            asked, manner, item, lambda message: {"message": message, "state": None}
        )
        tell(manner, done.line)
        last = None
        if action != "delete":
            ends = "The server goes on ending it; it is not followed further."
            last = await followed(
                lambda limit: follow_end(client, base, limit=limit), manner, left=ends
            )
        state = State.DONE if last is None else last.state
        if manner.output == "json":
            result = {"message": done.line, "state": state.value}
            write_told(as_json({**item, "result": result}))
        return state
