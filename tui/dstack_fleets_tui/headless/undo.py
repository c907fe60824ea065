"""`undo`: the plan of the way back from what was applied last."""

from __future__ import annotations

from dstack_api_client.edits.perform import undoing
from dstack_api_client.edits.plan.planning import Plan, make_plan
from dstack_api_client.edits.store.keeping import Store
from dstack_fleets_tui.headless.plan import Desk, say


async def undo_plan(at: Desk) -> Plan:
    """Plans the way back, and says what it can't take back.

    Raises:
        NotKeptError: Nothing is known of a change, or nothing of it was kept.
        ApiError: It is refused, or the server could not be asked.
    """
    found = undoing.undo(Store.default(), at.base, at.snapshot.capabilities)
    found.refuse_unkept()
    if found.left_out:
        names = ", ".join(found.left_out)
        say(f"Not undone, since it may hold a secret and is not kept: {names}.")
    if found.changed_since:
        say(f"Changed again since, and undone too: {', '.join(found.changed_since)}.")
    return await make_plan(at.client, found.edit, snapshot=at.snapshot)
