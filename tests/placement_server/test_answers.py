"""What the add-on answers, and what the client makes of it."""

from __future__ import annotations

import msgspec
import pytest

from dstack_api_client.transport import wire_addon
from dstack_placement.engine import (
    LANE_FIELDS,
    Group,
    Lane,
    LaneField,
    Replica,
    ReplicaState,
    Room,
    Service,
    preview,
)
from dstack_placement.server.answers import answers
from tests.builders.projects import NOW

SERVICE = Service(
    lanes=(Lane("gpu", 1, 4, 7), Lane("main/spot")),
    groups=(Group("0", wanted=2),),
    replicas=(Replica("a", 0, "0", fleet="gpu", state=ReplicaState.READY),),
    rooms={"gpu": Room(2), "main/spot": Room(0, why="it is full")},
)


@pytest.mark.parametrize("number", range(2))
def test_all_that_a_lane_says_reaches_the_client(number: int) -> None:
    plan = preview(SERVICE, now=NOW).lanes[number]
    sent = answers.lane(plan).model_dump_json().encode()
    found = msgspec.json.decode(sent, type=wire_addon.PlacementLane)
    assert found.lane() == plan.lane == SERVICE.lanes[number]
    assert (found.reason, found.room, found.target) == (plan.reason, plan.room, plan.target)


@pytest.mark.parametrize("each", LANE_FIELDS, ids=lambda each: each.name)
def test_what_can_be_no_value_of_a_lane_is_refused(each: LaneField) -> None:
    text = f'{{"fleet": "gpu", "{each.name}": -1}}'.encode()
    with pytest.raises(msgspec.ValidationError, match=each.name):
        msgspec.json.decode(text, type=wire_addon.PlacementLane)
