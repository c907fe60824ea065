"""What a later add-on may say of a replica."""

from __future__ import annotations

from dstack_api_client.edits.outlook.outlooks import DryRun, ReplicaOutlook, Source
from dstack_fleets_tui.editing import outlook


def test_an_action_that_is_not_known_is_shown_as_it_is_called() -> None:
    row = ReplicaOutlook(0, "decode", False, "gpu", "hibernate", None, None, "it is late")
    lines = outlook.replicas(DryRun(Source.SERVER, (), (row, row)))
    assert [line.plain for line in lines] == ["hibernate 2  it is late"]


def test_a_start_without_a_reason_of_its_own_is_told_without_one() -> None:
    row = ReplicaOutlook(0, "decode", True, None, "start", "gpu", "priority", "")
    lines = outlook.replicas(DryRun(Source.ENGINE, (), (row,)))
    assert [line.plain for line in lines] == ["start 1 in gpu"]
