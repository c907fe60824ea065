"""A service that stands at zero: which replicas dstack can start, and which wait for ever.

dstack gives a run one fleet, which replica 0 chooses, and takes it away when the last replica stops
(0.22.5, `_should_wait_for_run_fleet_assignment` in
`server/background/pipeline_tasks/jobs_submitted.py`). Until replica 0 starts again all others wait,
and it starts again only with its own group.
"""

from __future__ import annotations

from dstack_api_client.edits.service import ServiceEdit
from dstack_api_client.edits.situation import managed
from dstack_api_client.snapshot import Snapshot
from dstack_placement import engine


def waited_for(edit: ServiceEdit, state: engine.Service, snapshot: Snapshot) -> str | None:
    """The group of the replica 0 that all others wait for; it does not come.

    Args:
        edit: The edit.
        state: What the engine is told about it.
        snapshot: What is known of the project.

    Returns:
        None where nothing is in the way: the service has a fleet, lanes decide, or replica 0 is new
        or starts again.

    Raises:
        LanesError: The edited lanes can't be accepted.
    """
    service = snapshot.services.get(edit.base.id)
    if service is None or service.fleet_name is not None or state.replicas or managed(edit):
        return None
    group = edit.base.first_group
    wanted = {each.name: each.wanted for each in state.groups}
    return group if group is not None and not wanted.get(group) else None
