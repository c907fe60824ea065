"""A service that stands at zero: which replicas dstack can start, and which wait for ever.

The rule is that of `stranded`.
"""

from __future__ import annotations

from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.edits.service.situation import managed
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.model.stranded import has_no_chooser
from dstack_placement import engine


def waited_for(edit: ServiceEdit, state: engine.Service, snapshot: Snapshot) -> str | None:
    """The group of the replica 0 that all others wait for; it does not come.

    Args:
        edit: The edit.
        state: What the engine is told about it.
        snapshot: What is known of the project.

    Returns:
        None where nothing is in the way: the service has a fleet, lanes decide, or replica 0 is
        there, is new or starts again.

    Raises:
        LanesError: The edited lanes can't be accepted.
    """
    service = snapshot.services.get(edit.base.id)
    if service is None or managed(edit) or not has_no_chooser(snapshot, service):
        return None
    group = edit.base.first_group
    wanted = {each.name: each.wanted for each in state.groups}
    return group if group is not None and not wanted.get(group) else None
